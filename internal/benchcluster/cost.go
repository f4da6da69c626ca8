package benchcluster

import "github.com/sabot-stream/sabot/objstore/metered"

// Prices of S3 Standard in us-east-1, in dollars: the list prices that docs/PERFORMANCE.md names with their source. Requests that delete are free, and
// so is traffic between S3 and machines of the same region.
const (
	dollarsPerWrite   = 0.005 / 1000  // PUT, COPY, POST, LIST
	dollarsPerRead    = 0.0004 / 1000 // GET, HEAD
	dollarsPerGBMonth = 0.023
)

const (
	secondsPerMonth = 730 * 3600
	bytesPerGB      = 1 << 30
)

// requestsPerSecond are calls of the bucket by kind.
type requestsPerSecond map[metered.Op]float64

// dollarsPerMonth models what a job's bucket costs at S3's list prices.
func dollarsPerMonth(rate requestsPerSecond, storedBytes float64) float64 {
	perSecond := 0.0
	for op, n := range rate {
		switch op {
		case metered.Put, metered.PutIf, metered.List:
			perSecond += n * dollarsPerWrite
		case metered.Get, metered.GetRange:
			perSecond += n * dollarsPerRead
		}
	}
	return perSecond*secondsPerMonth + storedBytes/bytesPerGB*dollarsPerGBMonth
}
