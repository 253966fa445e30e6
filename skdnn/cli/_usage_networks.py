"""Commands around networks and what they compute, as their help pages show them."""

from __future__ import annotations

from skdnn.cli import _usage_shared as shared
from skdnn.cli._arguments import Command, one_of, option

DEMO = Command(
    "demo",
    "train a small network on handwritten digits and search its layers",
    "Writes scikit-learn's handwritten digits as image files, trains a small convolutional "
    "network on half of them, compares its layers and those of its untrained twin on held-out "
    "digits, and draws the result. Needs no download.",
    ("skdnn demo", "skdnn demo --quick --out results/"),
    (
        option(
            "--out FOLDER",
            "where to write the pictures and image files; made if missing (default: the current "
            "folder)",
            ".",
        ),
        option("--seed SEED", "decides everything random", 0),
        option("--quick", "the same on half the images, with fewer epochs and folds"),
    ),
)
MODELS = Command(
    "models",
    "list the networks that have names",
    "List the names that --model takes. Packages that are not installed contribute none.",
    ("skdnn models", "skdnn models 'resnet*'", "skdnn models --source installed"),
    (
        option("pattern [PATTERN]", "only these, such as 'resnet*'"),
        option(
            "--source {torchvision,keras,cornet,clip,published,pretrained,timm,open_clip,"
            "installed}",
            "only those of one source; 'installed': those whose trained weights are here already",
        ),
        shared.JSON,
    ),
)
LAYERS_OF = Command(
    "layers",
    "list the layers of a network",
    "List the layers that --layer takes, in the order of the network, with the shape of what they "
    "compute for one image and the number of units. Nothing is downloaded.",
    ("skdnn layers alexnet", "skdnn layers timm/vit_tiny_patch16_224 --depth 2"),
    (
        option("model MODEL", "a network by its name, or FILE.py:FUNCTION"),
        shared.BACKEND,
        option(
            "--depth N",
            "names of at most N parts: 1 shows the network's own parts, 2 their children too",
            least=1,
        ),
        shared.JSON,
    ),
)
EXTRACT = Command(
    "extract",
    "save the activations of layers for images",
    "Send images through a network once and save what layers compute, a row per image, with the "
    "names of the images and where the numbers come from. An interrupted run goes on where it "
    "stopped when the same command is given again: until the file is whole, activations lie in "
    "OUT.unfinished, or in --cache.",
    (
        "skdnn extract --model alexnet --layer features.10 --images ./images --out features.h5",
        "skdnn extract --model resnet50 --layer 'layer*' --images ./images --out r.mat",
        "skdnn extract --model alexnet --weights none --seed 1 --layer all --images ./images "
        "--out random.h5 --dry-run",
    ),
    (
        shared.needed(shared.IMAGES),
        shared.LAYERS,
        option(
            "--out FILE", "features.h5, .mat, .npy, .npz, .csv, .txt or .parquet", required=True
        ),
        option(
            "--keep-shape",
            "save (images, channels, height, width) rather than a row of units per image",
        ),
        option(
            "--average-folders",
            "a row per folder of images (its mean) rather than per image, as for the concepts of "
            "THINGS",
        ),
        option(
            "--parts [K]",
            "split the rows into K files (10 if K is left out); what loads them joins them again",
            const=10,
        ),
        option(
            "--dry-run",
            "say how many images and units there are and what they take in disk, memory and time; "
            "write nothing",
        ),
        *(*shared.OUTPUT, shared.THE_NETWORK, shared.EXTRACTION),
    ),
)
CLASSIFY = Command(
    "classify",
    "name what images show, with probabilities",
    "Print the most probable classes of each image, by the class names of the network's weights.",
    (
        "skdnn classify --model alexnet --images ./images",
        "skdnn classify --model resnet50 --images cat.jpg --top 3 --json",
    ),
    (
        shared.needed(shared.IMAGES),
        option("--top K", "classes per image", 5),
        option(
            "--classes FILE",
            "names of the network's outputs, one on a line, in its order; or 'imagenet' (default: "
            "those of the weights)",
        ),
        shared.out("write .csv, .tsv or .json instead of printing", report=True),
        option("--cache FOLDER", "a folder that keeps the network's outputs"),
        *(*shared.OUTPUT, shared.THE_NETWORK),
    ),
)
CACHE = Command(
    "cache",
    "list, check or thin out a folder of stored activations",
    "list: what is stored. verify: read everything and compare checksums; exit code 1 if "
    "something is damaged (--repair mends it; lost rows are computed anew). prune: remove what "
    "--model, --layer, --older-than or --max-bytes choose, and what killed runs have left.",
    (
        "skdnn cache list activations/",
        "skdnn cache verify activations/ --repair",
        "skdnn cache prune activations/ --layer 'features.*' --older-than 90 --dry-run",
    ),
    (
        option("action {list,verify,prune}", "what to do"),
        option("folder FOLDER", "the folder given as --cache"),
        option("--repair", "verify: mend what is damaged"),
        option("--model PATTERN", "prune: of these networks"),
        option("--layer PATTERN", "prune: of these layers"),
        option("--older-than DAYS", "prune: written before"),
        option("--max-bytes N", "prune: the oldest, down to this size"),
        option("--dry-run", "prune: say what would go"),
        shared.JSON,
    ),
)
DESCRIBE = Command(
    "describe",
    "write the paragraph for the methods section",
    "Print a paragraph fit for a methods section and its references as BibTeX: of features that "
    "were saved, of a whole study that 'skdnn search --methods' or MethodsText.to_json() has "
    "written, or of a network and layers.",
    (
        "skdnn describe features.h5",
        "skdnn describe study.json",
        "skdnn describe --model alexnet --layer features.10",
        "skdnn describe features.h5 --bibtex > references.bib",
    ),
    (
        option("features [FEATURES]", "features that skdnn saved, or a .json of a study"),
        *(
            shared.LAYERS,
            shared.IMAGES,
            one_of(option("--bibtex", "print the references only"), shared.JSON),
        ),
        *(shared.A_NETWORK, shared.EXTRACTION),
    ),
)
VERSION = Command("version", "print the version of skdnn", "Print the version of skdnn.")
