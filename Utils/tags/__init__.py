"""Tag lists (``selected_tags.csv``), their categories, and the spelling of tags in caption files."""
