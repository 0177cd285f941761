"""Released taggers of any project, described in one way: graph, tags, thresholds, preparation of pictures."""
