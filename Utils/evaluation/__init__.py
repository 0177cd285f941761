"""From predictions to scores: thresholds, averages, intervals, calibration, ensembles, result tables."""
