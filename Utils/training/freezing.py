"""What learns when: the body may be frozen at first, and learn with the classifier later."""


class Phases:
    """Compiles the model for the steps that come: the body frozen at first, then everything learning.

    ``compile(frozen, start)`` freezes or thaws the body and gives the model a new optimizer, whose step 0 is
    ``start``: a fresh one, since moments of one age go with one count of steps.
    """

    def __init__(self, frozen_epochs, steps_per_epoch, compile):
        self.frozen_epochs, self.frozen_steps = frozen_epochs, frozen_epochs * steps_per_epoch
        self._compile = compile
        self._frozen = None  # nothing is compiled yet

    def enter(self, step):
        """Compile for the step after ``step`` steps, where that is not done yet."""
        frozen = step < self.frozen_steps
        if frozen != self._frozen:
            self._compile(frozen=frozen, start=0 if frozen else self.frozen_steps)
            self._frozen = frozen

    def turns(self, step):
        """Whether the step after ``step`` steps is the first of another phase."""
        return self._frozen and step >= self.frozen_steps

    def last_epoch(self, epoch, epochs):
        """Return the epoch, counted from 1, that ends the phase in which ``epoch``, from 0, lies."""
        return self.frozen_epochs if epoch < self.frozen_epochs else epochs
