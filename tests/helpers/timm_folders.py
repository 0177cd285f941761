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
    found = timm_folder.describe(source.config, families(), Models.spec, **described)
    model = Models.build(found.name, image_size=found.image_size, num_labels=found.num_labels, **found.fields)
    spec = Models.spec(found.name, **found.fields)
    timm_folder.assign(model, spec, families()[found.name.split("/")[0]], source, found.order)
    return model, found, spec


def folder_of(name, path, model_args=None, **config):
    """Write the folder of a small model, with entries of its config replaced."""
    golden.write_timm_folder(SMALL[name], path)
    content = json.loads((path / "config.json").read_text())
    content["model_args"].update(model_args or {})
    content["pretrained_cfg"].update(config.pop("pretrained_cfg", {}))
    (path / "config.json").write_text(json.dumps(content | config))
    return path
