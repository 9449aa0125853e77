"""The features of IBSI 1: names, codes, units, and when not to use them."""

from __future__ import annotations

import dataclasses

__all__ = ["FAMILIES", "FEATURES", "Feature"]

# Name of the family: prefix of its features, and its IBSI code.
FAMILIES = {
    "morphology": ("morph", "HCUG"),
    "local_intensity": ("loc", "9ST6"),
    "statistics": ("stat", "UHIW"),
    "histogram": ("ih", "ZVCW"),
    "volume_histogram": ("ivh", "P88C"),
    "glcm": ("cm", "LFYI"),
    "glrlm": ("rlm", "TP0I"),
    "glszm": ("szm", "9SAK"),
    "gldzm": ("dzm", "VMDZ"),
    "ngtdm": ("ngt", "IPET"),
    "ngldm": ("ngl", "REK0"),
}

# Why a feature means nothing on a small mask. The verdicts come from synthetic nerves of 25 to
# 130 mm³ with 32 bins and "3d_merged" (benchmarks/science/radiomics_small_masks.py).
_REASONS = {
    "-": "",
    "noise": "repeat scans of a nerve differ as much as people do (intraclass correlation < 0.5)",
    "volume": "half or more of it, by rank, is the volume of the nerve",
    "blind": "it hardly depends on the tissue of the nerve (under 0.3 of its ranks)",
    "constant": "with a fixed number of bins it is the same for every region",
    "sphere": "its sphere of 1 cm³ is larger than the mask, so that it measures the surroundings",
}
_NO_REFERENCE = "IBSI 1 has no reference value for it, because programs didn't agree on one"
_NEVER = {
    "morph_vol_dens_ombb": _NO_REFERENCE,
    "morph_area_dens_ombb": _NO_REFERENCE,
    "morph_vol_dens_mvee": _NO_REFERENCE,
    "morph_area_dens_mvee": _NO_REFERENCE,
    "ivh_auc": _NO_REFERENCE,
    "ngl_dc_perc": "it is 1 by definition",
}


@dataclasses.dataclass(frozen=True)
class Feature:
    """What is known of a feature.

    Parameters
    ----------
    name : str
        Prefix of the family, and what is measured.
    ibsi_code : str
        Permanent identifier in the IBSI reference manual.
    ibsi_tag : str
        Abbreviation in the tables of reference values of IBSI 1.
    family : str
        A key of `FAMILIES`.
    unit : str
        Unit; ``level`` counts grey levels.
    never : str
        Why IBSI advises against it; empty where it doesn't.
    small_mask : str
        Why it means nothing on a small mask; empty where it does.
    """

    name: str
    ibsi_code: str
    ibsi_tag: str
    family: str
    unit: str
    never: str
    small_mask: str


# Name, code, unit, tag, and the key of the reason.
_ROWS = """
morph_volume                                   RNU0 mm³           morph_volume              -
morph_volume_voxel_counting                    YEKZ mm³           morph_vol_approx          -
morph_surface_area                             C0JK mm²           morph_area_mesh           -
morph_surface_to_volume                        2PR5 1/mm          morph_av                  -
morph_compactness_1                            SKGS 1             morph_comp_1              -
morph_compactness_2                            BQWJ 1             morph_comp_2              -
morph_spherical_disproportion                  KRCK 1             morph_sph_dispr           -
morph_sphericity                               QCFX 1             morph_sphericity          -
morph_asphericity                              25C7 1             morph_asphericity         -
morph_centre_of_mass_shift                     KLMA mm            morph_com                 -
morph_maximum_diameter                         L0JK mm            morph_diam                -
morph_major_axis_length                        TDIC mm            morph_pca_maj_axis        -
morph_minor_axis_length                        P9VJ mm            morph_pca_min_axis        -
morph_least_axis_length                        7J51 mm            morph_pca_least_axis      -
morph_elongation                               Q3CK 1             morph_pca_elongation      -
morph_flatness                                 N17B 1             morph_pca_flatness        -
morph_volume_density_aabb                      PBX1 1             morph_vol_dens_aabb       -
morph_area_density_aabb                        R59B 1             morph_area_dens_aabb      -
morph_volume_density_ombb                      ZH1A 1             morph_vol_dens_ombb       -
morph_area_density_ombb                        IQYR 1             morph_area_dens_ombb      -
morph_volume_density_aee                       6BDE 1             morph_vol_dens_aee        -
morph_area_density_aee                         RDD2 1             morph_area_dens_aee       -
morph_volume_density_mvee                      SWZ1 1             morph_vol_dens_mvee       -
morph_area_density_mvee                        BRI8 1             morph_area_dens_mvee      -
morph_volume_density_convex_hull               R3ER 1             morph_vol_dens_conv_hull  -
morph_area_density_convex_hull                 7T7F 1             morph_area_dens_conv_hull -
morph_integrated_intensity                     99N0 intensity·mm³ morph_integ_int           volume
morph_morans_i                                 N365 1             morph_moran_i             -
morph_gearys_c                                 NPT7 1             morph_geary_c             blind
loc_local_peak                                 VJGA intensity     loc_peak_loc              sphere
loc_global_peak                                0F91 intensity     loc_peak_glob             sphere
stat_mean                                      Q4LE intensity     stat_mean                 -
stat_variance                                  ECT3 intensity²    stat_var                  -
stat_skewness                                  KE2A 1             stat_skew                 -
stat_excess_kurtosis                           IPH6 1             stat_kurt                 blind
stat_median                                    Y12H intensity     stat_median               -
stat_minimum                                   1GSF intensity     stat_min                  -
stat_p10                                       QG58 intensity     stat_p10                  -
stat_p90                                       8DWT intensity     stat_p90                  -
stat_maximum                                   84IY intensity     stat_max                  noise
stat_interquartile_range                       SALO intensity     stat_iqr                  blind
stat_range                                     2OJQ intensity     stat_range                -
stat_mean_absolute_deviation                   4FUA intensity     stat_mad                  blind
stat_robust_mean_absolute_deviation            1128 intensity     stat_rmad                 blind
stat_median_absolute_deviation                 N72L intensity     stat_medad                -
stat_coefficient_of_variation                  7TET 1             stat_cov                  -
stat_quartile_coefficient_of_dispersion        9S40 1             stat_qcod                 -
stat_energy                                    N8CA intensity²    stat_energy               volume
stat_root_mean_square                          5ZWQ intensity     stat_rms                  -
ih_mean                                        X6K6 level         ih_mean                   -
ih_variance                                    CH89 level²        ih_var                    noise
ih_skewness                                    88K1 1             ih_skew                   -
ih_excess_kurtosis                             C3I7 1             ih_kurt                   blind
ih_median                                      WIFQ level         ih_median                 -
ih_minimum                                     1PR8 level         ih_min                    constant
ih_p10                                         GPMT level         ih_p10                    noise
ih_p90                                         OZ0C level         ih_p90                    noise
ih_maximum                                     3NCY level         ih_max                    constant
ih_mode                                        AMMC level         ih_mode                   -
ih_interquartile_range                         WR0O level         ih_iqr                    volume
ih_range                                       5Z3W level         ih_range                  constant
ih_mean_absolute_deviation                     D2ZX level         ih_mad                    volume
ih_robust_mean_absolute_deviation              WRZB level         ih_rmad                   volume
ih_median_absolute_deviation                   4RNL level         ih_medad                  volume
ih_coefficient_of_variation                    CWYJ 1             ih_cov                    -
ih_quartile_coefficient_of_dispersion          SLWD 1             ih_qcod                   blind
ih_entropy                                     TLU2 bit           ih_entropy                -
ih_uniformity                                  BJ5W 1             ih_uniformity             -
ih_maximum_gradient                            12CE voxel/level   ih_max_grad               volume
ih_maximum_gradient_level                      8E6O level         ih_max_grad_g             noise
ih_minimum_gradient                            VQB3 voxel/level   ih_min_grad               volume
ih_minimum_gradient_level                      RHQZ level         ih_min_grad_g             -
ivh_volume_at_intensity_10                     NK6P 1             ivh_v10                   noise
ivh_volume_at_intensity_90                     4279 1             ivh_v90                   noise
ivh_intensity_at_volume_10                     PWN1 level         ivh_i10                   noise
ivh_intensity_at_volume_90                     BOHI level         ivh_i90                   noise
ivh_volume_difference_10_90                    WITY 1             ivh_diff_v10_v90          noise
ivh_intensity_difference_10_90                 JXJA level         ivh_diff_i10_i90          noise
ivh_area_under_curve                           9CMM 1             ivh_auc                   -
cm_joint_maximum                               GYBY 1             cm_joint_max              -
cm_joint_average                               60VM 1             cm_joint_avg              -
cm_joint_variance                              UR99 1             cm_joint_var              volume
cm_joint_entropy                               TU9B bit           cm_joint_entr             -
cm_difference_average                          TF7R 1             cm_diff_avg               volume
cm_difference_variance                         D3YU 1             cm_diff_var               volume
cm_difference_entropy                          NTRS bit           cm_diff_entr              volume
cm_sum_average                                 ZGXS 1             cm_sum_avg                -
cm_sum_variance                                OEEB 1             cm_sum_var                noise
cm_sum_entropy                                 P6QZ bit           cm_sum_entr               -
cm_angular_second_moment                       8ZQL 1             cm_energy                 -
cm_contrast                                    ACUI 1             cm_contrast               volume
cm_dissimilarity                               8S9J 1             cm_dissimilarity          volume
cm_inverse_difference                          IB1Z 1             cm_inv_diff               volume
cm_inverse_difference_normalised               NDRX 1             cm_inv_diff_norm          volume
cm_inverse_difference_moment                   WF0Z 1             cm_inv_diff_mom           volume
cm_inverse_difference_moment_normalised        1QCO 1             cm_inv_diff_mom_norm      volume
cm_inverse_variance                            E8JP 1             cm_inv_var                volume
cm_correlation                                 NI2N 1             cm_corr                   -
cm_autocorrelation                             QWB0 1             cm_auto_corr              -
cm_cluster_tendency                            DG8W 1             cm_clust_tend             noise
cm_cluster_shade                               7NFM 1             cm_clust_shade            -
cm_cluster_prominence                          AE86 1             cm_clust_prom             noise
cm_information_correlation_1                   R8DG 1             cm_info_corr1             -
cm_information_correlation_2                   JN9H 1             cm_info_corr2             -
rlm_short_runs_emphasis                        22OV 1             rlm_sre                   volume
rlm_long_runs_emphasis                         W4KF 1             rlm_lre                   volume
rlm_low_grey_level_run_emphasis                V3SW 1             rlm_lgre                  noise
rlm_high_grey_level_run_emphasis               G3QZ 1             rlm_hgre                  -
rlm_short_run_low_grey_level_emphasis          HTZT 1             rlm_srlge                 noise
rlm_short_run_high_grey_level_emphasis         GD3A 1             rlm_srhge                 -
rlm_long_run_low_grey_level_emphasis           IVPO 1             rlm_lrlge                 noise
rlm_long_run_high_grey_level_emphasis          3KUM 1             rlm_lrhge                 -
rlm_grey_level_non_uniformity                  R5YN 1             rlm_glnu                  volume
rlm_grey_level_non_uniformity_normalised       OVBL 1             rlm_glnu_norm             -
rlm_run_length_non_uniformity                  W92Y 1             rlm_rlnu                  volume
rlm_run_length_non_uniformity_normalised       IC23 1             rlm_rlnu_norm             volume
rlm_run_percentage                             9ZK5 1             rlm_r_perc                volume
rlm_grey_level_variance                        8CE5 1             rlm_gl_var                noise
rlm_run_length_variance                        SXLW 1             rlm_rl_var                volume
rlm_run_length_entropy                         HJ9O bit           rlm_rl_entr               -
szm_small_zone_emphasis                        5QRC 1             szm_sze                   noise
szm_large_zone_emphasis                        48P8 1             szm_lze                   volume
szm_low_grey_level_zone_emphasis               XMSY 1             szm_lgze                  noise
szm_high_grey_level_zone_emphasis              5GN9 1             szm_hgze                  noise
szm_small_zone_low_grey_level_emphasis         5RAI 1             szm_szlge                 noise
szm_small_zone_high_grey_level_emphasis        HW1V 1             szm_szhge                 noise
szm_large_zone_low_grey_level_emphasis         YH51 1             szm_lzlge                 -
szm_large_zone_high_grey_level_emphasis        J17V 1             szm_lzhge                 volume
szm_grey_level_non_uniformity                  JNSA 1             szm_glnu                  volume
szm_grey_level_non_uniformity_normalised       Y1RO 1             szm_glnu_norm             noise
szm_zone_size_non_uniformity                   4JP3 1             szm_zsnu                  volume
szm_zone_size_non_uniformity_normalised        VB3A 1             szm_zsnu_norm             noise
szm_zone_percentage                            P30P 1             szm_z_perc                volume
szm_grey_level_variance                        BYLV 1             szm_gl_var                noise
szm_zone_size_variance                         3NSA 1             szm_zs_var                volume
szm_zone_size_entropy                          GU8N bit           szm_zs_entr               -
dzm_small_distance_emphasis                    0GBI 1             dzm_sde                   blind
dzm_large_distance_emphasis                    MB4I 1             dzm_lde                   blind
dzm_low_grey_level_zone_emphasis               S1RA 1             dzm_lgze                  noise
dzm_high_grey_level_zone_emphasis              K26C 1             dzm_hgze                  noise
dzm_small_distance_low_grey_level_emphasis     RUVG 1             dzm_sdlge                 noise
dzm_small_distance_high_grey_level_emphasis    DKNJ 1             dzm_sdhge                 noise
dzm_large_distance_low_grey_level_emphasis     A7WM 1             dzm_ldlge                 noise
dzm_large_distance_high_grey_level_emphasis    KLTH 1             dzm_ldhge                 noise
dzm_grey_level_non_uniformity                  VFT7 1             dzm_glnu                  volume
dzm_grey_level_non_uniformity_normalised       7HP3 1             dzm_glnu_norm             noise
dzm_zone_distance_non_uniformity               V294 1             dzm_zdnu                  volume
dzm_zone_distance_non_uniformity_normalised    IATH 1             dzm_zdnu_norm             blind
dzm_zone_percentage                            VIWW 1             dzm_z_perc                volume
dzm_grey_level_variance                        QK93 1             dzm_gl_var                noise
dzm_zone_distance_variance                     7WT1 1             dzm_zd_var                blind
dzm_zone_distance_entropy                      GBDU bit           dzm_zd_entr               noise
ngt_coarseness                                 QCDE 1             ngt_coarseness            volume
ngt_contrast                                   65HE 1             ngt_contrast              volume
ngt_busyness                                   NQ30 1             ngt_busyness              -
ngt_complexity                                 HDEZ 1             ngt_complexity            noise
ngt_strength                                   1X9X 1             ngt_strength              volume
ngl_low_dependence_emphasis                    SODN 1             ngl_lde                   volume
ngl_high_dependence_emphasis                   IMOQ 1             ngl_hde                   volume
ngl_low_grey_level_count_emphasis              TL9H 1             ngl_lgce                  noise
ngl_high_grey_level_count_emphasis             OAE7 1             ngl_hgce                  -
ngl_low_dependence_low_grey_level_emphasis     EQ3F 1             ngl_ldlge                 noise
ngl_low_dependence_high_grey_level_emphasis    JA6D 1             ngl_ldhge                 volume
ngl_high_dependence_low_grey_level_emphasis    NBZI 1             ngl_hdlge                 noise
ngl_high_dependence_high_grey_level_emphasis   9QMG 1             ngl_hdhge                 -
ngl_grey_level_non_uniformity                  FP8K 1             ngl_glnu                  volume
ngl_grey_level_non_uniformity_normalised       5SPA 1             ngl_glnu_norm             -
ngl_dependence_count_non_uniformity            Z87G 1             ngl_dcnu                  volume
ngl_dependence_count_non_uniformity_normalised OKJI 1             ngl_dcnu_norm             volume
ngl_dependence_count_percentage                6XV8 1             ngl_dc_perc               -
ngl_grey_level_variance                        1PFV 1             ngl_gl_var                noise
ngl_dependence_count_variance                  DNX2 1             ngl_dc_var                blind
ngl_dependence_count_entropy                   FCBV bit           ngl_dc_entr               volume
ngl_dependence_count_energy                    CAS9 1             ngl_dc_energy             -
"""


def _read() -> tuple[Feature, ...]:
    family_of = {prefix: family for family, (prefix, _) in FAMILIES.items()}
    found = []
    for row in _ROWS.strip().splitlines():
        name, code, unit, tag, reason = row.split()
        family = family_of[name.split("_")[0]]
        found.append(Feature(name, code, tag, family, unit, _NEVER.get(tag, ""), _REASONS[reason]))
    return tuple(found)


FEATURES = _read()
