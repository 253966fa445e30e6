"""Options of commands that take a GLM's betas, the same for all of them."""

from __future__ import annotations

from skdnn.cli._arguments import group, option

BETAS = option(
    "--betas FILE...",
    "instead: a GLM's single-trial betas of one subject or several, told apart by 'sub-' in the "
    "names of files: a NIfTI file for each run or each trial, surfaces (.gii, .mgh; hemispheres "
    "are paired by name), or GLMsingle's .hdf5 or .mat; in natural order (run-2 before run-10)",
)
OF_BETAS = group(
    "with --betas",
    option("--events FILE...", "BIDS events.tsv, a table for each run in the order of the betas"),
    option(
        "--mask FILE...",
        "NIfTI of 0 and 1: one for each subject, or one without 'sub-' in its name for all; "
        "surfaces need none",
    ),
    option(
        "--rois REGION...",
        "regions, each NAME=FILE (a mask), or NAME=FILE:LABEL with numbers in an atlas, such as "
        "V1=atlas.nii.gz:1 or V1=atlas.nii.gz:1,2; in quotes FILE may have wildcards, for a file "
        "of each subject",
        [],
    ),
    option("--stim-column COLUMN", "of the events: names the image of each trial", "stim_file"),
    option(
        "--drop NAME...",
        "leave out catch trials: by the name of their stimulus, or as COLUMN=VALUE of the events, "
        "such as trial_type=catch",
        [],
    ),
    option(
        "--surplus {error,drop}",
        "what to do with trials of other images, and with rows of features that were not shown",
        "error",
    ),
    option("--zscore {session,run}", "z-score each voxel over the trials of a session or a run"),
    option(
        "--scale NUMBER",
        "what betas are divided by: 300 for the Natural Scenes Dataset's integers",
    ),
    option("--key NAME", "of .hdf5 and .mat: the array (default: betasmd, or betas)"),
    option("--resample", "bring regions of another grid into that of the mask"),
    option(
        "--min-ncsnr NUMBER",
        "keep voxels that have a number in every trial, and whose signal is at least this many "
        "times their noise (standard deviations; needs images that were shown more than once)",
    ),
)
