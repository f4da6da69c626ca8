// Package row stands between Go structs and Arrow columns.
//
// A struct's exported fields are columns: QuietFrom is quiet_from, or what the tag sabot:"name" says; sabot:"-" leaves a field out. Types:
//
//	bool                           bool
//	int, int64                     int64        int8, int16, int32 and uint8 ... uint64 as they are, uint as uint64
//	float32, float64               as they are
//	string, []byte                 utf8, binary
//	time.Time                      timestamp[us], UTC
//	time.Duration                  int64, microseconds
//	a pointer to one of these      the same, nullable
//
// Named types count as what they are made of. Decoder reads rows out of columns, Encoder writes them, Marshal and Unmarshal turn a whole struct
// into bytes for values of state.
package row
