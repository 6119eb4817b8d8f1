package rotate

import "math/bits"

// Float is a number that can be rotated.
type Float interface{ ~float32 | ~float64 }

// cacheBits is log2 of the block that is finished in the first-level cache:
// 4096 values are 16 KiB as float32.
const cacheBits = 12

// Hadamard multiplies x, whose length is a power of two, in place by the
// unnormalized Walsh-Hadamard matrix: twice is multiplication by len(x). The
// levels commute, so the wide strides come first and each cache block is then
// finished alone; three levels a pass keep eight values in registers.
func Hadamard[T Float](x []T) {
	level := bits.Len(uint(len(x))) - 1
	for level > cacheBits {
		r := min(3, level-cacheBits)
		level -= r
		butterflies(x, r, 1<<level)
	}
	size := 1 << level
	for i := 0; i < len(x); i += size {
		hadamardBlock(x[i:i+size], level)
	}
}

// hadamardBlock does the lowest levels of one block of 1<<level values.
func hadamardBlock[T Float](x []T, level int) {
	for level > 3 {
		r := min(3, level-3)
		level -= r
		butterflies(x, r, 1<<level)
	}
	if level < 3 {
		butterflies(x, level, 1)
		return
	}
	for ; len(x) >= 8; x = x[8:] {
		y := x[:8:8]
		y[0], y[1], y[2], y[3], y[4], y[5], y[6], y[7] = butterfly8(y[0], y[1], y[2], y[3], y[4], y[5], y[6], y[7])
	}
}

// butterflies does r levels (at most 3) from stride h upward.
func butterflies[T Float](x []T, r, h int) {
	switch r {
	case 1:
		for ; len(x) >= 2*h; x = x[2*h:] {
			radix2(x[:h], x[h:2*h])
		}
	case 2:
		for ; len(x) >= 4*h; x = x[4*h:] {
			radix4(x[:h], x[h:2*h], x[2*h:3*h], x[3*h:4*h])
		}
	case 3:
		for ; len(x) >= 8*h; x = x[8*h:] {
			radix8(x[:8*h], h)
		}
	}
}

func radix2[T Float](p0, p1 []T) {
	p1 = p1[:len(p0)]
	for j := range p0 {
		p0[j], p1[j] = p0[j]+p1[j], p0[j]-p1[j]
	}
}

func radix4[T Float](p0, p1, p2, p3 []T) {
	p1, p2, p3 = p1[:len(p0)], p2[:len(p0)], p3[:len(p0)]
	for j := range p0 {
		a, b := p0[j]+p1[j], p0[j]-p1[j]
		c, d := p2[j]+p3[j], p2[j]-p3[j]
		p0[j], p1[j], p2[j], p3[j] = a+c, b+d, a-c, b-d
	}
}

func radix8[T Float](x []T, h int) {
	p0 := x[:h]
	p1, p2, p3 := x[h:][:len(p0)], x[2*h:][:len(p0)], x[3*h:][:len(p0)]
	p4, p5, p6, p7 := x[4*h:][:len(p0)], x[5*h:][:len(p0)], x[6*h:][:len(p0)], x[7*h:][:len(p0)]
	for j := range p0 {
		p0[j], p1[j], p2[j], p3[j], p4[j], p5[j], p6[j], p7[j] = butterfly8(p0[j], p1[j], p2[j], p3[j], p4[j], p5[j], p6[j], p7[j])
	}
}

// butterfly8 is the Hadamard matrix of order 8.
func butterfly8[T Float](a, b, c, d, e, f, g, h T) (_, _, _, _, _, _, _, _ T) {
	a, b, c, d, e, f, g, h = a+b, a-b, c+d, c-d, e+f, e-f, g+h, g-h
	a, b, c, d, e, f, g, h = a+c, b+d, a-c, b-d, e+g, f+h, e-g, f-h
	return a + e, b + f, c + g, d + h, a - e, b - f, c - g, d - h
}
