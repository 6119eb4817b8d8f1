package main

import "context"

const (
	kib = 1 << 10
	mib = 1 << 20
)

// benchGroups lists all figures but those of the baseline, in the order in which they are shown.
func benchGroups() []benchGroup {
	return []benchGroup{
		{"bytes", []benchFigure{
			{"bits_per_value_n1e4_d1e6", "bits", "<=", 20.2},
			{"upload_over_float32_n1e4_d1e6", "ratio", "<=", 0.63},
			{"bits_per_value_n1e4_d1e4", "bits", "<=", 31},
			{"report_fixed_bytes_suite1", "bytes", "<=", 5.8 * kib},
			{"report_fixed_bytes_suite2", "bytes", "", 0},
		}, (*bench).measureBytes},
		{"the client", []benchFigure{
			{"client_seal_over_intt", "ratio", "<=", 5},
			{"client_seal_ns_per_value", "ns/value", "", 0},
			{"intt_ns_per_value", "ns/value", "", 0},
			{"client_encode_ns_per_value", "ns/value", "<=", 25},
			{"client_digest_ns_per_value", "ns/value", "", 0},
			{"client_outbox_ns_per_value", "ns/value", "", 0},
			{"client_state_bytes", "bytes", "<=", mib},
		}, (*bench).measureClient},
		{"the aggregator", []benchFigure{
			{"aggregator_add_over_float32_add", "ratio", "<=", 1},
			{"aggregator_full_over_float32_add", "ratio", "<=", 4},
			{"sha256_over_float32_add", "ratio", "", 0},
			{"aggregator_full_over_float32_add_uncached", "ratio", "", 0},
			{"float32_add_ns_per_value", "ns/value", "", 0},
			{"float32_add_uncached_ns_per_value", "ns/value", "", 0},
			{"aggregator_add_ns_per_value", "ns/value", "", 0},
			{"sha256_ns_per_value", "ns/value", "", 0},
			{"aggregator_full_ns_per_value", "ns/value", "", 0},
		}, (*bench).measureAggregator},
		{"the aggregator's memory", []benchFigure{
			{"aggregator_memory_100", "bytes", "<=", 64 * mib},
			{"aggregator_memory_10000", "bytes", "<=", 64 * mib},
			{"aggregator_memory_growth", "bytes", "<=", 4 * mib},
		}, (*bench).measureMemory},
		{"the decryptor", []benchFigure{
			{"decryptor_over_open_and_verify", "ratio", "<=", 2},
			{"decryptor_us_per_client", "us", "", 0},
			{"open_and_verify_us", "us", "", 0},
			{"decryptor_over_open_and_verify_suite2", "ratio", "<=", 2},
			{"decryptor_us_per_client_suite2", "us", "", 0},
		}, (*bench).measureDecryptor},
		{"the collector", []benchFigure{
			{"collector_open_ns_per_value", "ns/value", "<=", 40},
			{"collector_decode_ns_per_value", "ns/value", "", 0},
		}, (*bench).measureCollector},
		{"accuracy", []benchFigure{
			{"decoded_rmse_over_central", "ratio", "<=", 1.03},
			{"wrapped_values", "values", "<=", 0},
		}, (*bench).measureAccuracy},
	}
}

func baselineGroup() benchGroup {
	return benchGroup{"the baseline", []benchFigure{
		{"bgv_bits_ratio", "ratio", ">=", 10},
		{"bgv_client_ratio", "ratio", ">=", 5},
		{"bgv_server_ratio", "ratio", ">=", 8},
		{"bgv_bits_per_value", "bits", "", 0},
		{"bgv_packed_bits_per_value", "bits", "", 0},
		{"bgv_encrypt_ns_per_value", "ns/value", "", 0},
		{"bgv_add_ns_per_value", "ns/value", "", 0},
	}, (*bench).measureBaseline}
}

// largeWorld is the task of the speed figures with its stored reports, made once.
func (b *bench) largeWorld(ctx context.Context) (*benchWorld, error) {
	if b.large != nil {
		return b.large, nil
	}
	w, err := b.newWorld(ctx, benchWish{values: b.sizes.values, suite: 1, vehicles: max(b.sizes.replayed, b.sizes.few, b.sizes.many)})
	if err == nil {
		err = w.report(ctx, b.sizes.stored)
	}
	b.large = w
	return w, err
}
