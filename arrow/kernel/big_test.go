package kernel

import "math/big"

// bigInt computes without overflow, for the plain evaluator.
type bigInt struct{ *big.Int }

func newBig(v int64) bigInt { return bigInt{big.NewInt(v)} }

func (b bigInt) Add(x, y bigInt) bigInt { return bigInt{b.Int.Add(x.Int, y.Int)} }
func (b bigInt) Sub(x, y bigInt) bigInt { return bigInt{b.Int.Sub(x.Int, y.Int)} }
func (b bigInt) Mul(x, y bigInt) bigInt { return bigInt{b.Int.Mul(x.Int, y.Int)} }
func (b bigInt) Quo(x, y bigInt) bigInt { return bigInt{b.Int.Quo(x.Int, y.Int)} }

func (b bigInt) check() (any, error) {
	if !b.IsInt64() {
		return nil, errRow
	}
	return b.Int64(), nil
}
