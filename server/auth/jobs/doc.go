// Package jobs keeps what the authorization service must not forget: records
// that somebody is to look at again at a time. Several replicas of a site can
// share a store; whoever wants to change a record names the version that it has
// read, and of two that do so at once one is told to read again. So nobody owns a
// record, and none is lost with its owner.
//
// There are three stores: Memory, OpenSQLite (a file, for one process) and
// OpenRedis (for replicas). They know nothing of what the records say, have no
// clock and start no goroutine. Package jobstest holds a store to the contract.
//
// All methods may be called from any goroutine.
package jobs
