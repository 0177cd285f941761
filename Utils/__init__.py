"""What training, models and tools share: one noun per module.

Plain half (numpy, pandas, cv2; never keras or tensorflow): commands, files, config, recipes, tags, images,
definitions, booru, datasets, scores, dumps. Keras half: losses, metrics, schedules, optimizers, devices,
runs, weights.
"""
