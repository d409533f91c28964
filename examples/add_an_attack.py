"""An attack of your own, complete: FigStep's picture in white on black."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from proofglass import Artefact, Attack, Budget, Chat, Image, Sample, Victim, measure
from proofglass.attacks.injection.figstep import FigStep


@dataclass(frozen=True)
class Inverted(Attack):
    """FigStep with inverted colours: does a victim that reads black on white read white on black?"""

    name = "inverted"
    threat, changes, scope = "user", ("image", "text"), "universal"

    figstep: FigStep = field(default_factory=FigStep)  # a method is given a part, it inherits nothing

    def craft(
        self, victim: Victim, samples: Sequence[Sample], *, seed: int, budget: Budget | None = None
    ) -> Iterator[Artefact]:
        """Bought once: the layout that this victim reads."""
        yield from self.figstep.craft(victim, samples, seed=seed, budget=budget)

    def apply(self, artefact: Artefact, sample: Sample) -> Chat:
        """Pure and cheap: the same artefact and sample give the same chat."""
        chat = self.figstep.apply(artefact, sample)
        return chat.with_image(Image.from_array(255 - chat.images[0].array()))


if __name__ == "__main__":
    print(measure("testbed-linear", Inverted(), "testbed", limit=20)["testbed-content"])
