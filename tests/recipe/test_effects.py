"""Utils/recipe/effects.py: flags that nothing would obey."""

import pytest

from Utils.command.cli import UserError
from Utils.recipe import command_line
from Utils.recipe.recipe import Recipe, flag


def parsed(words):
    return command_line.parse(["demo", "--dataset", "DATA", "--run-dir", "RUN", *words.split()])[1].recipe


@pytest.mark.reliability(
    "a flag that nothing would obey, as --asl-clip without --loss asl", "one error, before the start"
)
@pytest.mark.parametrize(
    ("words", "said"),
    [
        (
            "--asl-gamma-neg 4",
            "--asl-gamma-neg would be without effect: it goes with its own loss; --loss is bce",
        ),
        ("--loss asl --hill-lam=3", "--hill-lam would be without effect"),
        ("--loss ll_r --ll-ct-delta-rel 3", "--ll-ct-delta-rel would be without effect"),
        ("--loss=asl --loss bce --asl_stop_focus_gradient", "--asl-stop-focus-gradient would be"),
        ("--schedule constant --floor 0.5", "--schedule cosine or wsd; the schedule is constant"),
        ("--schedule cosine --decay-share 0.5", "--schedule wsd; the schedule is cosine"),
        ("--warmup 0 --warmup-start 0.5", "it goes with a --warmup above 0"),
        ("--which last", "--init-from, which is missing"),
        ("--loss splc --epochs 3 --splc-change-epoch 3", "would correct nothing"),
        ("--loss splc --epochs 1", "from epoch 1 on, counted from 0, and the run has 1"),
        ("--learned-rate-factor 0.1", "--init-from, which is missing"),
    ],
)
def test_what_would_be_without_effect_is_refused(words, said):
    with pytest.raises(UserError, match=said):
        parsed(words)


def test_agents_of_sweeps_may_give_what_a_run_does_not_obey(monkeypatch, capsys):
    """W&B's agents give every parameter of a sweep over losses to every run."""
    monkeypatch.setenv(command_line.OF_AN_AGENT, "x")
    recipe = parsed("--loss=bce --focal_gamma=3 --asl-clip=0.2 --learning-rate=0.5")
    assert (recipe.focal_gamma, recipe.asl_clip) == (Recipe.focal_gamma, Recipe.asl_clip)
    assert (recipe.loss, recipe.learning_rate) == ("bce", 0.5)
    assert "would not obey it: --asl-clip, --focal-gamma" in capsys.readouterr().err
    assert parsed("--loss=focal --focal_gamma=3").focal_gamma == 3
    assert capsys.readouterr().err == ""


def test_what_is_obeyed_or_asks_for_nothing_is_allowed():
    assert parsed("--loss asl --asl-gamma-neg 4").asl_gamma_neg == 4
    assert parsed("--loss splc --epochs 1 --splc-change-epoch 0").epochs == 1
    assert parsed("--loss ll_ct --ll-ct-delta-rel 3").ll_ct_delta_rel == 3
    assert parsed("--warmup 1 --warmup-start 0.5 --schedule wsd --decay-share 0.5").decay_share == 0.5
    for field in ("asl_gamma_neg", "decay_share", "which"):
        parsed(f"{flag(field)} {getattr(Recipe, field)}")
