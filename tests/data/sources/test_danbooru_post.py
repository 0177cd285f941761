"""Utils/data/sources/danbooru_post.py: records of Danbooru's fields become posts, or say why not."""

import pytest

from Utils.command.cli import UserError
from Utils.data.danbooru_fields import OTHER_CATEGORIES, FieldError, parse_category
from Utils.data.sources import danbooru_post
from Utils.images import picture_index

SPECIES = OTHER_CATEGORIES["species"]
CIRCLE, PHOTO_SET = map(parse_category, ("circle", "photo_set"))


@pytest.mark.parametrize(
    ("record", "tags"),
    [
        ({"tags": "1girl solo"}, [(["1girl", "solo"], 0, None)]),
        ({"tags": "1girl, long  hair, "}, [(["1girl", "long_hair"], 0, None)]),
        ({"tags": "ready,_set,_go 1,000_yen"}, [(["ready,_set,_go", "1,000_yen"], 0, None)]),
        ({"tags": "1girl,long hair,2boys"}, [(["1girl", "long_hair", "2boys"], 0, None)]),
        ({"tags": ["a", "b"]}, [(["a", "b"], 0, None)]),
        ({"tags": "['a', 'b c']"}, [(["a", "b_c"], 0, None)]),
        ({"tags": '["a", "character:b c"]'}, [(["a"], 0, None), (["b_c"], 4, None)]),
        ({"tags_general": "['a' 'b']", "tags_artist": "[]"}, [(["a", "b"], 0, None), ([], 1, None)]),
        ({"tags": {"character": ["a"], "species": ["cat"]}}, [(["a"], 4, None), (["cat"], SPECIES, None)]),
        ({"tags_artist": ["x"], "tags_general": "a b"}, [(["a", "b"], 0, None), (["x"], 1, None)]),
        ({"tag_string": "", "tags": None}, [([], 0, None)]),
        ({"tags": []}, [([], 0, None)]),
        ({"tags": "", "caption": "a, b c"}, [(["a", "b_c"], 0, None)]),
        ({"prompt": "a, (b c:1.2)\nSteps: 20, Sampler: x"}, [(["a", "b_c"], 0, None)]),
        ({"tags": "a b", "tags_general": "a", "tags_circle": ["b"], "tags_photo_set": "c", "tags_count": "3",
          "tags_at": 5}, [(["a"], 0, None), (["b"], CIRCLE, None), (["c"], PHOTO_SET, None)]),
        ({"tags": "a b", "tags_circle": "b"}, [(["a", "b"], 0, None)]),
        ({"tags": ["a", "Character:Rem", "artist:x y", "rating:safe", "re:zero", "b"]},
         [(["a", "re:zero", "b"], 0, None), (["Rem"], 4, None), (["x_y"], 1, None)]),
        ({"tags": "a series:b :d"}, [(["a", ":d"], 0, None), (["b"], 3, None)]),
        ({"tags": [{"name": "a", "category": "character"}, {"id": 4, "name": "b"}]},
         [(["a"], 4, [None]), (["b"], 0, [4])]),
    ],
)  # fmt: skip
def test_tags_are_read_in_every_form(record, tags):
    assert danbooru_post.parse_tags(record)[0] == tags


@pytest.mark.parametrize(
    ("fields", "name"),
    [
        ("id tags file flags rating", "e621's interface"),
        ("id md5 tag_string locked_tags", "e621's export"),
        ("id tags_artist tags_general", "gallery-dl"), ("id tags filename extension", "gallery-dl"),
        ("id tag_string tag_string_general", "Danbooru"),
        ("id tag_string", "Danbooru, tags without categories"),
        ("id tags pools favs", "gwern's releases of Danbooru"),
        ("id tags image directory", "Gelbooru"), ("id tags change", "Gelbooru"), ("id tags image", ""),
        ("file_name text", "Hugging Face"), ("image text", "Hugging Face"), ("image text x", "Hugging Face"),
        ("rating ratings tags text", "tag_images"), ("caption", "kohya"), ("id caption", ""), ("id tags", ""),
    ],
)  # fmt: skip
def test_fields_say_who_wrote_a_record(fields, name):
    assert danbooru_post.layout_of(tuple(fields.split())).name == name


@pytest.mark.parametrize("field", ["filename", "image_path", "file_name", "image", "path"])
def test_a_post_is_known_by_the_path_of_its_picture(field):
    record = {field: "/data/pictures/1.jpg", "prompt": "a"}
    assert danbooru_post.is_post(record)
    assert danbooru_post.parse_post(record).name == "/data/pictures/1.jpg"
    sites = {"id": 5, "filename": "as_sent", "extension": "jpg", "tags": "a"}
    assert danbooru_post.parse_post(sites).name == ""


@pytest.mark.parametrize(
    ("record", "reason"),
    [
        ({"id": "x", "tags": ""}, "post id is no whole number"),
        ({"id": 1.5, "tags": ""}, "post id is no whole number"),
        ({"id": True, "tags": ""}, "post id is no whole number"),
        ({"id": -5, "tags": ""}, "post id is not from 0"),
        ({"id": 2**63, "tags": ""}, "post id is not from 0"),
        ({"id": float("inf"), "tags": ""}, "post id is no whole number"),
        ({"id": 1}, "no tags"),
        ({"id": 1, "tags": 5}, "neither a text nor a list"),
        ({"id": 1, "tags": "['a' 'b' ... 'c']"}, "tags is a text like a list, which cannot be read: .'a'"),
        ({"id": 1, "tags": "{'general': ['a']}"}, "tags is a text like a list"),
        ({"id": 1, "tags": ["a", 5]}, "neither a text nor a list"),
        ({"id": 1, "tags": [{"id": 1}]}, "without name"),
        ({"id": 1, "tags": [{"name": 3}]}, "whose name is no text"),
        ([1, 2], "no JSON object, or a name twice in one"),
        (None, "no JSON object, or a name twice in one"),
    ],
)
def test_a_record_that_is_no_post_says_why(record, reason):
    with pytest.raises(FieldError, match=reason):
        danbooru_post.parse_post(record)


def test_the_id_of_a_rejected_record_is_known_once_it_was_read():
    with pytest.raises(FieldError) as error:
        danbooru_post.parse_post({"id": "7"})
    assert error.value.post_id == 7
    with pytest.raises(FieldError) as error:
        danbooru_post.parse_post({"id": "seven"})
    assert error.value.post_id == -1


@pytest.mark.parametrize("tags", [{"species": 5}, {"a": 0.01, "b": 0.9}, {"general": {"a": 0.9}}])
def test_names_with_numbers_are_no_tags(tags):
    """A tagger that lists all of its tags would give each of them to every picture."""
    with pytest.raises(FieldError, match="is neither a text nor a list"):
        danbooru_post.parse_tags({"tags": tags})


@pytest.mark.parametrize(
    ("record", "names"),
    [
        ({"tag_string": "a b c&#039;", "tag_string_general": "a", "tag_string_character": "b"}, ("c'",)),
        ({"tags": ["a b", "c", "c"], "tags_general": ["a b"]}, ("c",)),
        ({"tags": {"general": ["a"], "species": ["x"]}, "tags_general": ["a"]}, ("x",)),
        ({"tag_string": "a b", "tag_string_general": "a b"}, ()),
        ({"tags": ["rating:s", "a"], "tags_general": ["a"]}, ()),
        ({"tags": 5, "tags_general": ["a"]}, ()),
        ({"tag_string": "a b"}, ()),
    ],
)
def test_names_that_no_field_of_a_category_has_are_known(record, names):
    """A table that was cut down to tag_string and tag_string_general loses the characters."""
    assert danbooru_post.parse_post({"id": 1, **record}).uncategorized == names


def test_a_rating_among_the_tags_counts_where_no_field_has_one():
    record = {"id": 1, "tags": ["a", "rating:q"]}
    assert danbooru_post.parse_post(record).rating == "q"
    assert danbooru_post.parse_post(record | {"rating": "g"}).rating == "g"


def test_a_post_has_the_key_of_its_md5_and_may_be_named_by_its_file():
    post = danbooru_post.parse_post(
        {"id": 3, "md5": "AB", "rating": "e", "is_banned": 1, "tags": "a"}, post_id=9
    )
    assert (post.post_id, post.rating, post.status) == (9, "e", 0b10)
    assert post.keys == (picture_index.stem_key("ab"), 0, 0, 0)
    assert danbooru_post.parse_post({"id": 3, "tags": "a"}).keys == (0, 0, 0, 0)


def test_of_a_table_the_columns_that_matter_are_selected_the_id_first():
    assert danbooru_post.select_fields(["score", "tags", "rating", "id"], "t") == ["id", "rating", "tags"]
    for columns in (["id", "name"], ["tags"]):
        with pytest.raises(UserError, match=rf"^t needs a column id .* it has {', '.join(columns)}$"):
            danbooru_post.select_fields(columns, "t")
