package benchmicro

import "slices"

// Works returns all that can be measured, in order.
func Works() []Work {
	return slices.Concat(tableWorks(), lookupWorks(), handleWorks(), timerWorks(), exchangeWorks(), kernelWorks(), segmentWorks(), storeWorks(), jobWorks())
}
