package server

import "time"

// Limits say how much the server takes on at once, so that what it has taken on is answered in
// time. Zero values are the defaults.
type Limits struct {
	// Streams is how many calls of one connection run at once; more wait in the client. Default 1,000.
	Streams uint32
	// Checks is how many calls of DecisionService run or wait at once. More are answered with
	// RESOURCE_EXHAUSTED and when to try again. Default 4,000.
	Checks int
	// Administration is how many other calls run at once, and how many wait. More are answered likewise.
	// Default 64, of which as many compute as half of the processors.
	Administration int
	// ConnectionAge is how long a connection lives at most, so that clients behind a balancer find
	// new servers. Default 30 minutes, give or take a tenth; calls that run then go on for a minute.
	ConnectionAge time.Duration
}
