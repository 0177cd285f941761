"""Better labels: confident learning, questions, the review page, decisions."""
