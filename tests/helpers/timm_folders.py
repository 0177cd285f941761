"""Small folders of timm, and the models that they become."""

import json

from golden import golden_values as golden

import Models
from Models.porting import timm_folder

SMALL = golden.load("timm_small.json")


def families():
    """The TIMM rules of every family."""
    return Models.timm_families()


def imported(folder, **described):
    """The model of a folder, its description and its Spec."""
    source = timm_folder.read(folder)
    is_tagger = timm_folder.has_tag_list(folder)
    description = timm_folder.describe(
        source.config, families(), Models.spec, is_tagger=is_tagger, **described
    )
    model = Models.build(
        description.name,
        image_size=description.image_size,
        num_labels=description.num_labels,
        **description.fields,
    )
    spec = Models.spec(description.name, **description.fields)
    timm_folder.assign(model, spec, families()[description.name.split("/")[0]], source, description.order)
    return model, description, spec


def folder_of(name, path, model_args=None, **config):
    """Write the folder of a small model, with entries of its config replaced."""
    golden.write_timm_folder(SMALL[name], path)
    content = json.loads((path / "config.json").read_text())
    content["model_args"].update(model_args or {})
    content["pretrained_cfg"].update(config.pop("pretrained_cfg", {}))
    (path / "config.json").write_text(json.dumps(content | config))
    return path
