"""Intervals and tests, a chapter: what is scored, how sure it is, and what follows.

1. Scores: `_scored_models` has the similarity of each model to each subject, `_score_kernels` what
   each pair of conditions adds to it.
2. Samples: `_random_draws` and `_bootstrap_samples` draw conditions and subjects anew,
   `_bootstrap_ranks` ranks the samples without sorting them.
3. Variance: `_bootstrap_variance` over conditions, subjects, or both; `_bootstrap_ceilings`.
4. Tests: `_zero_test`, `_planned_comparisons`, `_permutation_test` (Mantel's),
   `_random_effects_test`, `_sign_flips`, `_clusters` and `_time_course_test`; `_p_values`.
5. Results: `_bootstrap` makes them, `_bootstrap_result` and `_time_course_result` tell them.

The guide's page "Standard errors of RSA scores" derives 1 and 3.
"""
