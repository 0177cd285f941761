"""What people look at: the HTML report, charts, model cards, plots of a run."""
