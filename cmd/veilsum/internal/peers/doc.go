// Package peers reads the privacy settings of other federated-learning
// frameworks and says what they really give. Start with [Parse], which finds the
// mechanisms that a file sets, then ask [Setting.Judge].
//
// It knows, of Flower 1.42.0:
//
//   - LocalDpMod (flwr/clientapp/mod/localdp_mod.py): clips the update to clipping_norm,
//     then adds Gaussian noise of standard deviation
//     sensitivity sqrt(2 ln(1.25/delta))/epsilon; sensitivity is free of clipping_norm;
//   - DifferentialPrivacyServerSideFixedClipping and …ClientSideFixedClipping
//     (flwr/serverapp/strategy/dp_fixed_clipping.py): noise of noise_multiplier
//     clipping_norm/num_sampled_clients on the mean;
//   - …ServerSideAdaptiveClipping and …ClientSideAdaptiveClipping
//     (dp_adaptive_clipping.py, flwr/supercore/differential_privacy.py): the noise
//     multiplier is split by Andrew et al. 2021, Theorem 1, and the number of clipped updates, each counted
//     as 0 or 1, gets noise of clipped_count_stddev.
//
// And of NVIDIA FLARE 2.9.0 (nvflare/app_common/filters):
//
//   - SVTPrivacy (svt_privacy.py): the sparse vector technique selects a fraction of
//     the values under epsilon, then each is released with Laplace noise of
//     2 gamma/noise_var, which costs noise_var a value;
//   - PercentilePrivacy (percentile_privacy.py): no noise, so no guarantee.
//
// What it does not know it refuses ([ErrSetting]); it guesses nothing.
package peers
