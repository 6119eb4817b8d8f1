package sampler_test

// Known answers, computed with Python's hmac and with openssl enc -aes-256-ctr.
const (
	knownDerive = "09a7ee8fedca67dcf35c384e6dcf37708090746543ef4960cc4750c1108b5d69"
	knownStream = "505bb9474e808b3c461fac682829beb2bf99a22e55ba0ab034ec76681c35e416"
)

// knownSamples were computed by this package; a change is a change of format
// for whoever compares runs.
var knownSamples = map[float64][]int32{
	6.4:  {7, 5, 0, 4, 2, 9, 3, -3, -2, 3, -4, -3},
	35.7: {78, 23, 68, 11, -31, 61, -42, 18, 34, 5, -29, 28},
}
