// Package tables has tables of cases: YAML files that say what has to be answered with a
// catalog. docs/catalog-tests.md explains them.
//
//	Read   reads a table and reports every case that can't be understood.
//	Run    asks all of it and judges the answers, without a server.
//	Plan   lays out the tenants and steps, for those who ask a server.
//
// It is pure like package policy: no files, no clock, no gRPC.
package tables
