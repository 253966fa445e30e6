"""The searchlight command, as its help page shows it."""

from __future__ import annotations

from dataclasses import replace

from skdnn.cli import _usage_shared as shared
from skdnn.cli._arguments import Command, group, option
from skdnn.cli._usage_betas import BETAS, OF_BETAS

SEARCHLIGHT = Command(
    "searchlight",
    "where in the brain is each layer: RSA around every voxel or vertex",
    "Searchlight RSA: the RDM of the responses in a sphere around each voxel, or in a patch "
    "around each vertex of a surface, is compared with the RDM of each layer. Writes a map for "
    "each layer, the best layer, sizes of spheres, and, of several subjects in one space, noise "
    "ceilings and a test. A report shows the maps (needs nilearn). An interrupted run goes on "
    "where it stopped when the same command is given again. --seed also decides the signs of the "
    "test.",
    (
        "skdnn searchlight features.h5 --betas sub-*/*_betas.nii.gz --events sub-*/*_events.tsv "
        "--mask sub-*/*_mask.nii.gz --radius 9 --out maps report.html",
        "skdnn searchlight conv1.csv conv5.csv --betas betas.nii.gz --events events.tsv --mask "
        "mask.nii.gz --radius 8 --brain-metric crossnobis --residuals residuals.nii.gz --out maps",
        "skdnn searchlight --model alexnet --layer 'features.*' --images ./images --betas "
        "betas.nii.gz --events events.tsv --mask mask.nii.gz --radius 9 --out maps",
        "skdnn searchlight features.h5 --betas sub-*/*_hemi-[LR]*_betas.func.gii --events "
        "sub-*/*_events.tsv --mesh hemi-L_white.surf.gii hemi-R_white.surf.gii --radius 8 --out "
        "maps",
    ),
    (
        option("files [FILE]...", "layers: features, or RDMs; or a network, see --model"),
        shared.IMAGES,
        replace(BETAS, settings={
            **BETAS.settings, "required": True,
            "help": str(BETAS.settings["help"]).removeprefix("instead: "),
        }),
        OF_BETAS,
        option(
            "--radius NUMBER", "of spheres, or of patches of a surface, in millimetres",
            required=True,
        ),
        option(
            "--layer NAME...",
            "layers: of files of features by name (default: all); of a network also by patterns "
            "such as 'features.*', or 'all'; without it, at a terminal, skdnn shows them and asks",
        ),
        replace(shared.METRIC, settings={
            **shared.METRIC.settings, "help": f"of features: {shared.METRIC.settings['help']}",
        }),
        shared.COMPARISON,
        group(
            "spheres",
            option(
                "--brain-metric NAME",
                "dissimilarity of two responses in a sphere: as --metric, or crossnobis",
                "correlation",
            ),
            option("--min-voxels N", "spheres of fewer voxels have no score", 10),
            option("--folds {run,session}", "of crossnobis: trials with independent noise", "run"),
            option(
                "--residuals FILE...",
                "of crossnobis and mahalanobis: what the GLM left over, as time series (NIfTI), "
                "of which the noise of each sphere is estimated; one for each subject, told apart "
                "by 'sub-'",
                [],
            ),
        ),
        group(
            "surfaces",
            option(
                "--mesh FILE...",
                "what the betas lie on, a file for each hemisphere, the left first: .surf.gii, or "
                "of FreeSurfer (lh.white rh.white)",
                [],
            ),
            option(
                "--distance {edges,straight}",
                "how --radius is measured: along the edges of the mesh, or in a straight line",
                "edges",
            ),
        ),
        group(
            "test, of several subjects in one space",
            option("--flips N", "random sets of signs; 0 does not test", 5000),
            option(
                "--correct {max,cluster,tfce}",
                "what decides, corrected for all voxels and layers: the largest t, the mass of "
                "clusters of voxels with p < .001, or threshold-free cluster enhancement",
                "max",
            ),
        ),
        shared.out("a folder for the maps", required=True, report=True, value="PATH..."),
        option("--dry-run", "check everything, say how many spheres of how many voxels, and how "
               "long it takes"),
        *(shared.A_NETWORK, shared.EXTRACTION),
        *(shared.JOBS, shared.ASSUME_ORDER, shared.OVERWRITE, shared.QUIET, shared.JSON),
    ),
)  # fmt: skip
