"""How often our caption tokens are those of the Stanford tokeniser that COCO's evaluation runs (it needs Java).

    python scripts/caption_tokens.py DATA

DATA: a folder with msts/replies_six_models.csv and xstest/model_completions/*.csv. As many sentences of each, in the
order of their file. Printed: sentences, and on how many the tokens are the same.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

from proofglass.console import say
from proofglass.evaluation.labels import sets
from proofglass.evaluation.similarity.captions import tokens


def main() -> None:
    from pycocoevalcap.tokenizer.ptbtokenizer import PTBTokenizer

    data = Path(sys.argv[1])
    found = {name: list(dict.fromkeys(sentences(name, data))) for name in ("msts", "xstest")}
    size = min(map(len, found.values()))
    for name, every in found.items():
        some = every[:size]
        theirs = PTBTokenizer().tokenize({k: [{"caption": each}] for k, each in enumerate(some)})
        same = sum(" ".join(tokens(each)) == theirs[k][0] for k, each in enumerate(some))
        say(f"{name}: {len(some):,} sentences, the same tokens on {same:,}")


def sentences(name: str, data: Path) -> Iterator[str]:
    for reply in sets.read(name, data).replies:
        for line in reply.reply.splitlines():
            for sentence in line.replace("! ", "!|").replace("? ", "?|").replace(". ", ".|").split("|"):
                if sentence.strip():
                    yield " ".join(sentence.split())


if __name__ == "__main__":
    main()
