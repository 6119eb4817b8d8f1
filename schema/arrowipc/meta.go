package arrowipc

import (
	"fmt"
	"maps"
	"unicode/utf8"
)

// Keys of the schema metadata of an aggregate. All values are text; numbers
// are decimal, hashes hexadecimal. There is no time stamp, so a retry gives
// the same bytes.
const (
	// MetaFormat names the format; its value is [AggregateFormat].
	MetaFormat = "veilsum.format"
	// MetaRoundID is the RoundID.
	MetaRoundID = "veilsum.round_id"
	// MetaModelVersion is the version of the model the updates started from.
	MetaModelVersion = "veilsum.model_version"
	// MetaEpsilon and MetaDelta are the guarantee of this round.
	MetaEpsilon = "veilsum.epsilon"
	// MetaDelta belongs to MetaEpsilon.
	MetaDelta = "veilsum.delta"
	// MetaRelation and MetaUnit say what that guarantee protects.
	MetaRelation = "veilsum.relation"
	// MetaUnit is the privacy unit, "vehicle".
	MetaUnit = "veilsum.unit"
	// MetaTaskID is the TaskID.
	MetaTaskID = "veilsum.task_id"
	// MetaNoiseStdDev is the standard deviation of the noise in each value.
	MetaNoiseStdDev = "veilsum.noise_std_dev"
	// MetaMechanism names the noise mechanism.
	MetaMechanism = "veilsum.mechanism"
	// MetaNoiseMultiplier is the noise multiplier of the sum.
	MetaNoiseMultiplier = "veilsum.noise_multiplier"
	// MetaClippingNorm is the L2 bound of one update in this round.
	MetaClippingNorm = "veilsum.clipping_norm"
	// MetaUnclipped is the noisy fraction of updates within it; only with adaptive clipping.
	MetaUnclipped = "veilsum.unclipped"
	// MetaCompression is the kind of map whose numbers the vehicles sent instead of values; this and the
	// three below only with compression. MetaNoiseStdDev is then a root mean square over the values.
	MetaCompression = "veilsum.compression"
	// MetaCompressionKeep is how many numbers a vehicle sent.
	MetaCompressionKeep = "veilsum.compression_keep"
	// MetaCompressionErrorFactor is v: compression adds an error of v times the square of the mean's norm, in expectation.
	MetaCompressionErrorFactor = "veilsum.compression_error_factor"
	// MetaCompressionRMSE is that error as a root mean square a value, at the norm that the mean seems to have below its noise.
	MetaCompressionRMSE = "veilsum.compression_rmse"
	// MetaReportCount is the number of reports in the sum.
	MetaReportCount = "veilsum.report_count"
	// MetaReduction tells "sum" or "mean".
	MetaReduction = "veilsum.reduction"
	// MetaDescriptorSHA256 is the hash of the round's descriptor.
	MetaDescriptorSHA256 = "veilsum.descriptor_sha256"
	// MetaLedgerIndex is the index of the round's reservation in the ledger.
	MetaLedgerIndex = "veilsum.ledger_index"
	// MetaEpoch, MetaLanes, MetaTaskLanes, MetaMerger and MetaRoundsHash are only in a mean that was merged from the lanes of an epoch: which
	// epoch, how many lanes counted and how many the task has, how, and H("merged-rounds"; RoundIDs in the order of the lanes).
	MetaEpoch = "veilsum.epoch"
	// MetaLanes is the number of lanes.
	MetaLanes = "veilsum.lanes"
	// MetaTaskLanes is the number of lanes of the task: a mean of fewer is not the whole epoch's.
	MetaTaskLanes = "veilsum.task_lanes"
	// MetaMerger names how they were merged.
	MetaMerger = "veilsum.merger"
	// MetaRoundsHash names the rounds.
	MetaRoundsHash = "veilsum.rounds_sha256"
	// MetaProducer names the writing program and its version.
	MetaProducer = "veilsum.producer"
)

const (
	// AggregateFormat is the value of [MetaFormat] in an aggregate.
	AggregateFormat = "veilsum-aggregate/1"
	// UpdateFormat is the value of [MetaFormat] in an update this package wrote.
	UpdateFormat = "veilsum-update/1"
	// ContentType is the media type of the files.
	ContentType = "application/vnd.apache.arrow.file"
)

const (
	maxMeta      = 64
	maxMetaKey   = 128
	maxMetaValue = 4096
)

// aggregateMeta returns meta with the format added, so that a caller need not
// repeat it, and refuses another format or what does not fit.
func aggregateMeta(meta map[string]string) (map[string]string, error) {
	out := make(map[string]string, len(meta)+1)
	maps.Copy(out, meta)
	if f, ok := meta[MetaFormat]; ok && f != AggregateFormat {
		return nil, fmt.Errorf("%w: %s is %q, want %q", ErrMetadata, MetaFormat, f, AggregateFormat)
	}
	out[MetaFormat] = AggregateFormat
	return out, checkMeta(out)
}

// checkMeta refuses metadata that is too much or no text.
func checkMeta(meta map[string]string) error {
	if len(meta) > maxMeta {
		return fmt.Errorf("%w: %d entries, want at most %d", ErrMetadata, len(meta), maxMeta)
	}
	for k, v := range meta {
		if len(k) < 1 || len(k) > maxMetaKey || !utf8.ValidString(k) {
			return fmt.Errorf("%w: key %q: want 1 to %d bytes of UTF-8", ErrMetadata, k, maxMetaKey)
		}
		if len(v) > maxMetaValue || !utf8.ValidString(v) {
			return fmt.Errorf("%w: value of %q: want at most %d bytes of UTF-8", ErrMetadata, k, maxMetaValue)
		}
	}
	return nil
}
