"""One taxonomy: every name that a mapping uses is there, and no sample is counted twice."""

from __future__ import annotations

import pytest

from proofglass.evaluation.taxonomy import (
    ANY,
    COMBINATIONS,
    ELEMENTS,
    QUADRANTS,
    RESOURCES,
    TOLD,
    benchmarks,
    coverage,
    divided,
    taxonomy,
    unmapped,
)
from proofglass.registry import entries

PARTS_OF = {"sun2023": 8, "beavertails": 14, "safetybench": 7, "ailuminate": 12, "air2024": 16}


def test_sub_dimensions_are_named_once_and_name_parts_of_divisions_that_exist() -> None:
    known = taxonomy()
    assert len({part.id for part in known.parts}) == len(known.parts)
    assert known.version
    assert known.date >= "2026-11-30"
    for part in known.parts:
        for division, names in part.names.items():
            assert set(names) <= set(known.divisions[division][1]), part.id
    assert {name: len(known.divisions[name][1]) for name in PARTS_OF} == PARTS_OF


@pytest.mark.parametrize("division", [*PARTS_OF, "survey", "owasp"])
def test_every_part_of_a_division_is_somewhere(division: str) -> None:
    known = taxonomy()
    named = {name for part in known.parts for name in part.names.get(division, ())}
    assert named == set(known.divisions[division][1])


def test_mappings_name_sub_dimensions_and_say_why_where_a_name_does_not() -> None:
    ids = {part.id for part in taxonomy().parts}
    for name, mapped in benchmarks().items():
        assert set(mapped.elements) <= set(ELEMENTS), name
        assert mapped.made, name
        assert set(mapped.made) <= set(RESOURCES), name
        for category, parts in mapped.to.items():
            assert parts, (name, category)
            assert set(parts) <= ids, (name, category)
        if ANY in mapped.to:
            assert mapped.why[ANY], name


def test_every_registered_benchmark_is_mapped() -> None:
    own = {"own", "subset", "shown", "targeted", "built", "preferences"}  # they hold whatever they are given
    own |= {"fictional-screens"}  # its questions ask for the next step on a page, and for no harm
    assert {*entries("datasets")} - own <= {*benchmarks()}


def test_published_categories_are_mapped() -> None:
    for name, entry in entries("datasets").items():
        published = {category: n for category, n in entry.load().published.items() if category}
        assert not unmapped({name: published} if published else {}), name


def test_coverage_counts_each_sample_once() -> None:
    counts = {"safetybench": {"Offensiveness": 30, "Ethics and Morality": 5}, "xstest": {"homonyms": 4, "none": 1}}
    found = coverage(counts)
    assert list(found) == [part.id for part in taxonomy().parts]
    assert found["toxicity"] == {"safetybench": 10}
    assert found["ethics"] == {"safetybench": 5}
    assert found["over-refusal"] == {"xstest": 5}
    assert sum(n for row in found.values() for n in row.values()) == 40
    assert unmapped({**counts, "unheard-of": {"x": 1}}) == {"unheard-of": ["x"]}


def test_elements_fall_into_the_quadrants_and_combinations_of_others() -> None:
    assert set(TOLD) == set(QUADRANTS) == set(COMBINATIONS) == set(ELEMENTS)
    assert set(QUADRANTS.values()) == {"RIRT", "RIST", "SIRT", "SIST"}
    assert len(set(COMBINATIONS.values())) == 5
    assert divided(["weapons", "drugs"], "beavertails") == ("drug_abuse,weapons,banned_substance",)
    assert divided(["injection"], "owasp")[0] == "LLM01 Prompt Injection"
    with pytest.raises(KeyError):
        divided(["injection"], "nobody")
