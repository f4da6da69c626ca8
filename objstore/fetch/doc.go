// Package fetch reads ranges of immutable objects in few requests.
//
// A call brings many ranges, and the fetcher makes a plan of them: ranges of one object that are near each other are one GET, a long one is
// several at a time, an object most of which is asked for is fetched whole. All callers share one budget of GETs in flight, of bytes in flight and
// of GETs a second, and a page that somebody is fetching already is not fetched again.
//
//	ranges ──> pages on disk? ──> GETs in flight? ──> plan ──> budget ──> bucket
//	              │ hit               │ join                                 │
//	              └───────────────────┴──────────> bytes of each range <─────┤
//	                                                                         └──> queue ──> disk cache
//
// With a disk cache GETs consist of whole pages, and what came goes to the disk behind the caller's back; when the disk is too slow for that, it is
// dropped. Without one GETs are the ranges themselves, merged.
//
// The fetcher does not retry: errors go up as the bucket gave them. It checks no bytes either, but those that come from the disk: callers have
// checksums of their own, and Forget for what does not pass.
package fetch
