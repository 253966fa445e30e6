"""Commands that compare with brains and behaviour, as their help pages show them."""

from __future__ import annotations

from skdnn.cli import _usage_shared as shared
from skdnn.cli._arguments import Command, group, one_of, option
from skdnn.cli._usage_betas import BETAS, OF_BETAS

RDM = Command(
    "rdm",
    "dissimilarities between the images of a file of features",
    "Compute the representational dissimilarity matrix (RDM) of each layer in a file of features, "
    "as 'skdnn extract' writes it, or of any table with an image in each row. Pictures show all "
    "layers side by side. Of several layers, .csv, .tsv and .npy become a file each, with the "
    "layer in its name; .h5, .mat and .npz hold all.",
    (
        "skdnn rdm features.h5 --out rdm.png",
        "skdnn rdm features.h5 --layer features.10 --metric euclidean --out rdm.csv rdm.pdf",
        "skdnn rdm features.h5 --out rdm.png --rank --order cluster --images ./images",
    ),
    (
        option("features FEATURES", "a file of features"),
        shared.out(
            "where to write: pictures (.png, .pdf, .svg, .jpg), labelled tables (.csv, .tsv), "
            "arrays (.npy, .npz, .mat, .h5)",
            required=True,
        ),
        option("--layer NAME...", "layers of the file (default: all in it)"),
        shared.METRIC,
        option("--center", "subtract the mean of each unit over images first"),
        option("--normalize", "scale each image's pattern to length 1 first"),
        group(
            "picture",
            option("--rank", "draw ranks of dissimilarities"),
            option(
                "--order {given,cluster}",
                "order of the images: the file's, or that of a hierarchical clustering of the "
                "first layer",
                "given",
            ),
            option(
                "--groups",
                "keep images of a class together and name the classes, where the features were "
                "saved with them",
            ),
            option(
                "--images PATH...",
                "the images (a folder or files, found by name), drawn small along both axes",
            ),
        ),
        *(shared.ASSUME_ORDER, *shared.OUTPUT),
    ),
)
COMPARE = Command(
    "compare",
    "similarity of RDMs to each other, to brains or to behaviour",
    "Compare RDMs, from files of RDMs or of features, or of networks that are shown images now. "
    "Without --reference every RDM is compared with every other. With references (RDMs of brains "
    "or behaviour; a file may hold several subjects) each is scored against them, with noise "
    "ceilings where there are several subjects, and with intervals and tests where --bootstrap or "
    "--permutations ask for them. --twin puts the untrained twin beside each trained network, and "
    "tests the difference. Conditions are matched by name; --assume-order takes those of files "
    "without names in the order of the images, or of the first file that has names. With --times "
    "or --conditions the references are RDMs over time.",
    (
        "skdnn compare alexnet.h5 resnet50.h5 --reference it.csv --bootstrap 1000 --out table.csv "
        "bars.png",
        "skdnn compare a.csv b.csv c.csv --out similarities.png",
        "skdnn compare --model alexnet resnet18 alexnet@none mine.py:make --images ./images "
        "--reference it.csv",
        "skdnn compare features.h5 --reference meg.npy --conditions names.txt --times times.txt "
        "--permutations 5000 --out course.png course.csv",
    ),
    (
        option("files [FILE]...", "RDMs, or features that RDMs are made of"),
        option("--reference FILE...", "RDMs to compare with", []),
        shared.METRIC,
        shared.COMPARISON,
        group(
            "intervals and tests, with --reference",
            option(
                "--bootstrap N",
                "95%% intervals and tests from N bootstrap samples, of images and of subjects "
                "where there are several",
            ),
            option(
                "--permutations N",
                "Mantel's test with N permutations of the images; over time, of the subjects' "
                "signs where there are several",
            ),
        ),
        group(
            "RDMs over time, in --reference: a file with a subject or several, or a file for each",
            option(
                "--times FILE",
                "a text file with the seconds of each RDM, one on each line "
                "(a file of save_rdm_movie has its own)",
            ),
            option("--conditions FILE", "a text file with the name of a condition on each line"),
            option(
                "--correct {max,cluster,tfce}",
                "how p-values of --permutations are corrected for all times",
                "max",
            ),
        ),
        shared.out(
            "also write the table (.csv, .tsv, .json), a picture (.png, .pdf, ...)", report=True
        ),
        shared.IMAGES,
        option(
            "--layer NAME...",
            "of networks: one for all of them, or one for each; of one network, any number "
            "(default: penultimate)",
            ["penultimate"],
        ),
        *(shared.NETWORKS, shared.TWIN, shared.EXTRACTION, shared.ASSUME_ORDER, *shared.OUTPUT),
    ),
)
SEARCH = Command(
    "search",
    "which layer is most like a brain region, on images held out",
    "Cross-validated search over the layers of a network. Features are centred and reduced to "
    "their main components, learnt on the training images of each fold; then rsa compares the RDM "
    "of the held-out images with that of the brain, and encoding predicts the responses to them "
    "by ridge regression (mean R2 over voxels). With --betas there is a search for each subject "
    "and region, in one table (.csv) and one picture (.png). Each image goes through the network "
    "once. An interrupted run goes on where it stopped when the same command is given again: "
    "until it is done, activations lie in OUT.unfinished, or in --cache. --seed also decides the "
    "folds.",
    (
        "skdnn search --model alexnet --layer features.2 features.5 classifier.5 --images "
        "./images --rdm it.csv --out profile.csv profile.png",
        "skdnn search --model resnet50 --layer 'layer*' --images ./images --responses voxels.csv "
        "--method encoding --cache activations/ --nested",
        "skdnn search --model alexnet --layer 'features.*' --images ./images --betas "
        "sub-*/*_betas.nii.gz --events sub-*/*_events.tsv --mask mask.nii.gz --rois "
        "V1=atlas.nii.gz:1 IT=atlas.nii.gz:2 --out regions.csv regions.png",
    ),
    (
        shared.needed(shared.IMAGES),
        one_of(
            option(
                "--rdm FILE",
                "an RDM of the images, or one per subject: .csv with their names in the first row "
                "and column, .npy, .mat, .h5",
            ),
            option(
                "--responses FILE",
                "responses to the images: .csv with their names in the first column and a voxel "
                "in each other one, or a file of features",
            ),
            BETAS,
            required=True,
        ),
        OF_BETAS,
        option(
            "--bootstrap N",
            "with --betas and rsa: samples of the images for each layer's interval; 0 for neither "
            "intervals nor p-values (default: 1000)",
        ),
        option(
            "--permutations N",
            "likewise: of the images, for each layer's p-value (default: 1000)",
        ),
        shared.ASSUME_ORDER,
        shared.LAYERS,
        option("--method {rsa,encoding}", "compare RDMs, or predict responses", "rsa"),
        shared.METRIC,
        shared.COMPARISON,
        option(
            "--components N",
            "principal components of the features; 0 keeps all units (default: 50, or as many as "
            "the training images allow). The correlation distance is that of the patterns that "
            "they stand for, whatever the components' signs",
        ),
        shared.FOLDS,
        option("--repeats N", "other folds, N times", 10, least=1),
        option(
            "--nested",
            "also score the whole search on images that had no part in the choice of the layer",
        ),
        shared.TWIN,
        shared.out(
            "the layer profile as a table (.csv, .tsv, .json) or picture (.png, .pdf, ..)",
            report=True,
        ),
        option(
            "--methods FILE",
            "also write the paragraph for the methods section: .txt, or .json, which 'skdnn "
            "describe' reads",
        ),
        option(
            "--dry-run",
            "check everything and say how long all of it takes; compute nothing",
        ),
        *(shared.JOBS, shared.THE_NETWORK, shared.EXTRACTION, *shared.OUTPUT),
    ),
)
ENCODE = Command(
    "encode",
    "predict voxels from features: which layer, how well, how surely",
    "Voxelwise encoding: for each voxel, ridge regression chooses a layer and a penalty inside "
    "the training images and predicts the images that were held out. A voxel has one p-value, of "
    "its mean correlation over folds, adjusted for the number of a subject's voxels (false "
    "discovery rate).",
    (
        "skdnn encode features.h5 --responses voxels.csv --out voxels_table.csv",
        "skdnn encode features.h5 --responses subj1.h5 --layer features.2 features.10 "
        "--test-images test.txt --json",
        "skdnn encode features.h5 --responses voxels.csv --groups images.csv category",
        "skdnn encode features.h5 --betas sub-*/*_betas.nii.gz --events sub-*/*_events.tsv --mask "
        "sub-*/*_mask.nii.gz --out voxels.csv r.nii.gz",
    ),
    (
        option("features FEATURES", "a file of features"),
        one_of(
            option(
                "--responses FILE",
                "responses to the images: .csv with their names in the first column and a voxel "
                "in each other one, or a file of arrays (.npy, .mat, .h5, .parquet), one for each "
                "area",
            ),
            BETAS,
            required=True,
        ),
        OF_BETAS,
        option("--layer NAME...", "layers of the file to choose from (default: all in it)"),
        option(
            "--select {layer,best_overall,stack}",
            "a layer for each voxel, one for all, or a mixture of all",
            "layer",
        ),
        shared.FOLDS,
        option(
            "--groups FILE COLUMN",
            "a .csv with names of images in its first column, and the column that says what stays "
            "together in a fold",
        ),
        option(
            "--test-images FILE",
            "a text file with the name of a test image in each line: trains on all others, "
            "instead of folds",
        ),
        option(
            "--per {voxel,fold}",
            "a row of the table: each voxel, or each voxel in each fold",
            "voxel",
        ),
        option(
            "--permutations N",
            "of the held-out images, for the p-values of --per fold (default: 0, Student's t)",
            0,
        ),
        option("--fdr Q", "false discovery rate at which a voxel counts as predicted", 0.05),
        option("--seed SEED", "of folds and permutations", 0),
        shared.out(
            "a row for each voxel (.csv, .tsv, .json); with --betas also maps in the grid of the "
            "mask (.nii.gz, .nii): of several subjects or quantities a file each, with both in "
            "its name",
            report=True,
        ),
        option(
            "--maps QUANTITY...",
            "what maps show: r, r2, normalised (r divided by the noise ceiling), p, p_fdr, layer "
            "(the number of the one that most folds chose, with its name in a .json beside it) or "
            "layer_share (of the folds) (default: r)",
        ),
        option("--dry-run", "check everything, say what would be done and written, stop"),
        *(shared.ASSUME_ORDER, *shared.OUTPUT),
    ),
)
HIERARCHY = Command(
    "hierarchy",
    "brain hierarchy score: are the layers in the order of the brain's areas",
    "The brain hierarchy score of Nonaka et al. (2021). From data (--features, and --responses or "
    "--betas): "
    "decodes units from each area and encodes voxels from each layer, and scores both; a stopped "
    "study goes on when the same command with the same --results is given again. Or from "
    "accuracies that were computed before, of one network or many (--accuracies).",
    (
        "skdnn hierarchy --features alexnet.h5 --responses S1.h5 S2.h5 --areas V1 V2 V3 V4 HVC "
        "--test-images test.txt --results study/ --out table.csv shares.png",
        "skdnn hierarchy --features alexnet.h5 --betas sub-*/*_betas.nii.gz --events "
        "sub-*/*_events.tsv --mask mask.nii.gz --rois V1=atlas.nii.gz:1 IT=atlas.nii.gz:2 "
        "--test-images test.txt --out table.csv",
        "skdnn hierarchy --accuracies published/ --out ranking.csv ranking.png",
    ),
    (
        group(
            "from data",
            option(
                "--features FILE",
                "features of all images, saved with their names; layers in the order of the file, "
                "or of --layer",
            ),
            option(
                "--responses FILE...",
                "a file for each subject with a row for each trial: BData (.h5), or a file of "
                "features with an array for each area and the images' names as labels",
                [],
            ),
            BETAS,
            option("--test-images FILE", "a text file with a test image's name in each line"),
            option("--layer NAME...", "layers, the lowest first"),
            option(
                "--areas NAME...",
                "brain areas, the lowest first (default: of --rois, in the order given)",
            ),
            option(
                "--stimulus-key KEY",
                "BData: the label that names the image of a trial",
                "stimulus_name",
            ),
            option("--units N", "decoded, per layer", 1000),
            option("--voxels N", "encoded, per area", 1000),
            option("--results FOLDER", "keeps finished work, to go on after an interruption"),
        ),
        OF_BETAS,
        group(
            "from accuracies",
            option(
                "--accuracies FOLDER",
                "a folder with 'decoding' and 'encoding', or one of them, each holding "
                "NETWORK/LAYER/SUBJECT/AREA/accuracy.mat",
            ),
            option(
                "--settings FILE",
                "JSON that lists subjects, rois and dnns with their layers (default: "
                "settings.json in that folder)",
            ),
            option("--networks NAME...", "only these"),
            option("--n-test-images N", "test images behind each accuracy", 50),
        ),
        group(
            "score",
            option(
                "--direction {both,decoding,encoding}",
                "units from voxels, voxels from units, or both",
                "both",
            ),
            option(
                "--test {published,t}",
                "p-values as in the paper, or by the standard test",
                "published",
            ),
            option("--alpha ALPHA", "of that test", 0.05),
            option(
                "--adjust {sidak}",
                "adjust that test for choosing the best of several (default: as in the paper, no)",
            ),
            option(
                "--random-layers N",
                "decoding: the mean over 100 random selections of N layers, to compare networks "
                "of different depth (the paper: 5)",
            ),
            option("--bootstrap N", "resamples behind the 95%% interval; 0 for none", 1000),
            option(
                "--permutations N",
                "random pairings of layers and areas behind a p-value, and behind the score that "
                "their qualities give without a hierarchy (default: 0, none)",
                0,
            ),
            option("--seed SEED", "of everything random", 0),
        ),
        shared.out("a table (.csv, .tsv, .json), a picture (.png, .pdf, .svg, .jpg)", report=True),
        option("--dry-run", "check everything, say how much work it is, stop"),
        *(shared.JOBS, *shared.OUTPUT),
    ),
)
REPORT = Command(
    "report",
    "a page of results that were saved, for people to read",
    "Make one file of HTML of what search, compare, encode, hierarchy, searchlight or classify "
    "has written to --out STUDY.skdnn.json, or Results.save in Python. It opens in any browser, "
    "without a network.",
    ("skdnn report study.skdnn.json --out report.html",),
    (
        option("results FILE", "a file of results (.skdnn.json)"),
        shared.out("the page (.html)", required=True),
        option("--title TEXT", "of the page (default: that of the results)"),
        option("--question TEXT", "what was asked (default: that of the results)"),
        shared.OVERWRITE,
    ),
)
