package main

import "testing"

func TestIsLoopback(t *testing.T) {
	for host, want := range map[string]bool{
		"127.0.0.1": true, "127.200.3.4": true, "::1": true, "::ffff:127.0.0.1": true,
		"localhost": true, "LocalHost": true,

		"": false, "0.0.0.0": false, "::": false, "::ffff:0.0.0.0": false,
		"10.0.0.1": false, "192.0.2.7": false, "128.0.0.1": false, "fe80::1%eth0": false, "2001:db8::1": false,
		"usher.example": false, "localhost.example": false, "127.0.0.1.example": false, "127.1": false,
	} {
		if got := isLoopback(host); got != want {
			t.Errorf("%q: %v, want %v", host, got, want)
		}
	}
}
