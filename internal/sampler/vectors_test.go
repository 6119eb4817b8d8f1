package sampler_test

// Known answers, computed with Python's hmac and with openssl enc -aes-256-ctr.
const (
	knownDerive = "09a7ee8fedca67dcf35c384e6dcf37708090746543ef4960cc4750c1108b5d69"
	knownStream = "505bb9474e808b3c461fac682829beb2bf99a22e55ba0ab034ec76681c35e416"
)
