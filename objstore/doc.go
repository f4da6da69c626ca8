// Package objstore is the bucket as Sabot needs it: whole objects, ranges, listing, and writes that are conditional on the version of what is
// there. Drivers are in packages of their own (mem, file); fault wraps any of them with failures; storetest is what every driver passes.
//
// The one promise that everything rests on: of any number of PutIf calls on one key with one expected version at most one takes effect, and a
// call that reports success is that one. Everything else may fail or be repeated.
package objstore
