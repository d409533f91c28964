"""The contract of every plug as checks that anybody can run: `proofglass check KIND NAME`, or a test of one's own.

`checks` holds them one by one, `suite` chooses those of a plug and gives them something to work on (`material`).
"""
