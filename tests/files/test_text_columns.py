"""Utils/files/text_columns.py: rows of more than one block are found by their texts."""

from Utils.files import text_columns


def test_rows_are_found_by_their_texts_in_every_block():
    column = text_columns.Texts()
    for number in range(text_columns._BLOCK + 3):
        column.append(f"tag {number % text_columns._BLOCK}")
    texts = column.finish()
    assert len(texts) == text_columns._BLOCK + 3
    assert text_columns.rows_named(texts, ["tag 1", "none"]).tolist() == [1, text_columns._BLOCK + 1]
    assert text_columns.rows_named(texts, []).tolist() == []
    assert text_columns.rows_named(text_columns.Texts().finish(), ["a"]).tolist() == []
