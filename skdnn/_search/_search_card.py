"""What a notebook shows of a fitted search: what was chosen, and the scores of all layers."""

from __future__ import annotations

from typing import Any

from skdnn._html import card
from skdnn._sklearn import CardWhenFitted


class ShownWithScores(CardWhenFitted):
    """A search whose scores stand above scikit-learn's picture of it."""

    def _card(self) -> str:
        found: dict[str, Any] = vars(self)
        if "cv_results_" not in found:
            return ""
        results = found["cv_results_"]
        score, spread = found.get("best_score_"), results.get("std_test_score")
        if score is not None and spread is not None:
            score = f"{score:.4g} \N{PLUS-MINUS SIGN} {spread[found['best_index_']]:.2g}"
        facts = {
            "chosen": found.get("best_params_"),
            "score": score,
            "out of": f"{len(results['params']):,} candidates in {found['n_splits_']:,} folds",
        }
        profile = found.get("_layer_profile")
        if profile is not None:
            dropped = [name for name in profile if str(name).removeprefix("split").isdigit()]
            if not profile["optimistic"].any():
                dropped.append("optimistic")
            profile = profile.drop(columns=dropped)
        return card(type(self).__name__, facts, profile)
