"""Language models as judges: one judge (`judge.py`), a rubric for each published method (a file of its name).

A table of contents that imports nothing: name of a rubric -> module that holds it as RUBRIC.
"""

_HERE = "proofglass.evaluation.judges.llm"

RUBRICS = {
    "bailey2023": f"{_HERE}.bailey2023",
    "mm-safetybench": f"{_HERE}.mm_safetybench",
    "vlsafe": f"{_HERE}.vlsafe",
    "rtvlm": f"{_HERE}.rtvlm",
    "auto-bench": f"{_HERE}.auto_bench",
    "strongreject": f"{_HERE}.strongreject",
    "harmbench": f"{_HERE}.harmbench",
    "refusal-llm": f"{_HERE}.refusal_llm",
    "mssbench": f"{_HERE}.mssbench",
    "siuo": f"{_HERE}.siuo",
    "win-rate": f"{_HERE}.win_rate",
}
