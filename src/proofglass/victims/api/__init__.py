"""Parts of the API victim (`victims.inspect`): calls, ledger, prices, cache, limits, faults."""
