"""An attack as another package would write it: the pictures of a dialogue of two turns are optimised together."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from proofglass import Artefact, Ask, Attack, Budget, Chat, Flow, Reply, Sample, Victim
from proofglass.attacks.crafting.access import with_gradients
from proofglass.engine import LInf, On, Schedule, SignStep, TargetNLL, minimise
from proofglass.engine.pictures import grey


@dataclass(frozen=True)
class TwoPictures(Attack):
    """Asks about one picture, hears the answer, asks beside another. epsilon: radius of both. steps: sign steps."""

    epsilon: float = 16 / 255
    steps: int = 40
    name, opens, changes = "two-pictures", "gradients", ("image", "text")

    def craft(
        self, victim: Victim, samples: Sequence[Sample], *, seed: int, budget: Budget | None = None
    ) -> Iterator[Artefact]:
        model, move = with_gradients(self, victim), On(LInf(self.epsilon), SignStep(2 / 255))
        x0, blank = model.pixels(grey(model)), Artefact(images=(grey(model), grey(model)))
        start, moves = {"image": x0, "image2": x0}, {"image": move, "image2": move}
        taught = TargetNLL(model, [[(self.apply(blank, each), each.target) for each in samples]], slots=tuple(start))
        found = minimise(taught, start, moves, schedule=Schedule(self.steps), seed=seed, budget=budget)
        images = (*found.images("image"), *found.images("image2"))
        yield Artefact(images=images, crafted_on=model.key, cost=found.cost, trace=found.trace())

    def apply(self, artefact: Artefact, sample: Sample, said: str = "i see a picture .") -> Chat:
        first, second = artefact.images
        return Chat.user(first, "what do you see ?").say(said).ask(second, sample.chat.last_text)

    def converse(self, artefact: Artefact, sample: Sample, ask: Ask) -> Flow[tuple[Chat, Reply]]:
        first: Reply = yield ask.on(Chat(self.apply(artefact, sample).messages[:1]))
        chat = self.apply(artefact, sample, first.text)
        return chat, (first if not first.is_said else (yield ask.on(chat)))
