"""How other programs, and a few lines of Python, run a release from the folder it is in."""

WHAT_WAS_RUN = (
    "Run: the version of the program that tagged pictures with other releases of this layout, as "
    "`docs/releasing.md` of the repository reports; no: what the program needs is read from its code. "
    "None was run on this release. `tools/verify_release.py` runs reimplementations of their readers, which "
    "must all name the same tags."
)
# Programs that were run themselves; of wdv3-timm two others that load the same files in the same way.
VERSIONS_RUN = {
    "wdv3-timm": "as wdtagger 0.16.0 and wd-tag-heatmap 0.1.0, which load the same files",
    "dghs-imgutils": "0.19.0",
    "waifutagger": "0.1.1",
    "omni-anime-tagger": "1.0.0",
}
CLIENTS_SIDE = 448  # pixels; kohya's script feeds no other side


def python_lines(name: str, image_size: int) -> list[str]:
    """Return the lines of Markdown with a program that tags one picture by the ONNX model alone."""
    return [
        "```python",
        "import cv2, numpy, onnxruntime, pandas",
        "",
        f'session = onnxruntime.InferenceSession("{name}/model.onnx")',
        f'tags = pandas.read_csv("{name}/selected_tags.csv")',
        'image = cv2.imread("picture.jpg")  # BGR; a transparent picture is to be put on white first',
        "side = max(image.shape[:2])",
        "top, left = (side - image.shape[0]) // 2, (side - image.shape[1]) // 2",
        "square = numpy.full((side, side, 3), 255, numpy.uint8)",
        "square[top : top + image.shape[0], left : left + image.shape[1]] = image",
        f"batch = cv2.resize(square, ({image_size}, {image_size}), interpolation=cv2.INTER_AREA)",
        'found = session.run(None, {"input": batch[None].astype("float32")})[0][0]',
        'print(tags.assign(probability=found).sort_values("probability", ascending=False).head(20))',
        "```",
    ]


def programs(name: str, image_size: int, has_timm: bool, has_features: bool) -> dict[str, str]:
    """Return for each program that takes the layout ``wd``, by its name, how it takes a release.

    Args:
        name: of the release.
        image_size: side of its input in pixels.
        has_timm: whether timm's files are in it.
        has_features: whether the ONNX model has a second output, the features.
    """
    timm = {
        "wdv3-timm": "upload the folder to a hub; the script makes the model by "
        '`timm.create_model("hf-hub:...")` and turns the channels to BGR, as this model wants them'
    }
    return {
        "kohya-ss sd-scripts": (
            f"copy the folder to `MODELS/{name}`, then `tag_images_by_wd14_tagger.py PICTURES --onnx "
            f"--model_dir MODELS --repo_id {name}`"
            if image_size == CLIENTS_SIDE
            else f"does not take it: the script feeds {CLIENTS_SIDE} x {CLIENTS_SIDE} pixels only"
        ),
        "wd14-tagger-standalone": (
            "downloads from a hub: upload the folder and add its name to `tagger/interrogators.py`, as one "
            "more `WaifuDiffusionInterrogator`"
        ),
        "stable-diffusion-webui-wd14-tagger": (
            "copy `model.onnx` and `selected_tags.csv`, nothing else, to `models/TaggerOnnx/NAME/`; it takes "
            "a folder of its own only under one of two names, so NAME is `wd-v1-4-convnextv2-tagger-v2` or "
            "`Z3D-E621-Convnext`"
        ),
        "ComfyUI-WD14-Tagger": (
            f"copy `model.onnx` to its folder `models` as `{name}.onnx`, `selected_tags.csv` as `{name}.csv`"
        ),
        **(timm if has_timm else {}),
        "dghs-imgutils": (
            "`get_wd14_tags` takes WD's names only: a hub of one's own (`HF_ENDPOINT`) needs "
            "`selected_tags.csv` in the repository WD, a name of WD's, and `model.onnx` in "
            "`deepghs/wd14_tagger_with_embeddings` as `WD/model.onnx`. Thresholds are arguments; "
            "`best_threshold` is not read. Its generic reader feeds NCHW, which this graph does not take"
            if has_features
            else "does not take it: it asks for the features, too; export with `--embedding`"
        ),
        "waifutagger": "takes WD's names only: a hub that has this folder under one of them serves it",
        "omni-anime-tagger": (
            "copy `model.onnx` and `selected_tags.csv` to `models/NAME/`, with a `metainfo.yaml`: "
            "`checkpoint_path: model.onnx`, `tag_path: selected_tags.csv`, `is_rating: true`, `num_rating: 4`"
        ),
        "Hydrus": "import the sidecars that `tag_images.py --format hydrus` writes (`picture.jpg.txt`)",
    }


def rows(how: dict[str, str]) -> list[tuple[str, str, str]]:
    """Return (program, how it takes a release, the version that was run or no) for `programs`."""
    refused = "does not take it"
    return [
        (name, text, "no" if text.startswith(refused) else VERSIONS_RUN.get(name, "no"))
        for name, text in how.items()
    ]
