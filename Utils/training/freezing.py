"""Fine-tuning in two parts: the body is frozen in the first epochs, then all weights learn."""

from collections.abc import Callable


class Freezing:
    """Compiles the model for the coming steps: first with the body frozen, then with all weights.

    Each part has an optimizer of its own. An optimizer counts its steps once for all weights, and the bias
    correction of Adam or LAMB depends on that count: moments of the body, which begin at zero when it is
    unfrozen, must not be taken for old ones.

    Args:
        frozen_epochs: epochs in which the classifier alone learns, 0 for none.
        steps_per_epoch: steps of an epoch.
        compile_model: ``compile_model(frozen=, start_step=)`` freezes the body or not, and gives the model a
            new optimizer whose first step is step ``start_step`` of the learning rate's schedule.
    """

    def __init__(self, frozen_epochs: int, steps_per_epoch: int, compile_model: Callable[..., None]) -> None:
        self.frozen_epochs = frozen_epochs
        self._frozen_steps = frozen_epochs * steps_per_epoch
        self._compile_model = compile_model
        self._frozen: bool | None = None  # None: the model is not compiled yet

    def compile_for(self, step: int) -> None:
        """Compile the model for step ``step``, from 0, unless it is compiled for that part already."""
        frozen = step < self._frozen_steps
        if frozen != self._frozen:
            self._compile_model(frozen=frozen, start_step=0 if frozen else self._frozen_steps)
            self._frozen = frozen

    def unfreezes_at(self, step: int) -> bool:
        """Whether the model is compiled with a frozen body, and step ``step`` needs all weights."""
        return bool(self._frozen) and step >= self._frozen_steps

    def part_end(self, epoch: int, epochs: int) -> int:
        """Return the epoch, from 1, that ends the part in which ``epoch``, from 0, lies."""
        return self.frozen_epochs if epoch < self.frozen_epochs else epochs
