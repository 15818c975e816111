package main

import (
	"fmt"
	"sort"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/sasl"
	"github.com/twmb/franz-go/pkg/sasl/plain"
	"github.com/twmb/franz-go/pkg/sasl/scram"
)

var scenarios = map[string]func(*Case){
	"acks":                   acks,
	"administration":         administration,
	"by_time":                byTime,
	"commit_and_go_on":       commitAndGoOn,
	"consume_process_commit": consumeProcessCommit,
	"cooperative_rebalance":  cooperativeRebalance,
	"fenced_by_the_next":     fencedByTheNext,
	"logins":                 logins,
	"next_generation_group":  nextGenerationGroup,
	"restart_in_the_middle":  restartInTheMiddle,
	"round_trip":             roundTrip,
	"static_member":          staticMember,
	"transactions":           transactions,
}

// Keys, values, headers and nulls, plain and in every codec.
func roundTrip(c *Case) {
	name := c.topic("t", 1)
	codecs := []struct {
		name  string
		codec kgo.CompressionCodec
	}{
		{"none", kgo.NoCompression()},
		{"gzip", kgo.GzipCompression()},
		{"snappy", kgo.SnappyCompression()},
		{"lz4", kgo.Lz4Compression()},
		{"zstd", kgo.ZstdCompression()},
	}
	for _, each := range codecs {
		client := c.client(kgo.ProducerBatchCompression(each.codec))
		results := client.ProduceSync(limit(),
			&kgo.Record{Topic: name, Key: []byte("k"), Value: []byte(fmt.Sprintf("%0200d", 7)),
				Headers: []kgo.RecordHeader{{Key: "codec", Value: []byte(each.name)}, {Key: "null"}}},
			&kgo.Record{Topic: name, Key: []byte("k")},
			&kgo.Record{Topic: name, Value: []byte{}})
		c.saw(each.name, places(results))
	}
	for _, record := range read(c.client(reading(kgo.ConsumeTopics(name))...), 3*len(codecs)) {
		var headers []string
		for _, header := range record.Headers {
			headers = append(headers, fmt.Sprintf("%s=%s,%t", header.Key, header.Value, header.Value == nil))
		}
		c.saw("read", record.Offset, record.Key == nil, string(record.Key), record.Value == nil, len(record.Value),
			headers, record.ProducerEpoch)
	}
}

// With and without waiting, with and without idempotence, and a record that is too large.
func acks(c *Case) {
	name := c.topic("t", 1)
	plain := kgo.DisableIdempotentWrite()
	c.saw("all, idempotent", send(c.client(), name, "a", "b"))
	c.saw("all", send(c.client(plain), name, "c"))
	c.saw("leader", send(c.client(plain, kgo.RequiredAcks(kgo.LeaderAck())), name, "d"))
	unheard := c.client(plain, kgo.RequiredAcks(kgo.NoAck()))
	c.saw("none", len(send(unheard, name, "e")))
	c.saw("read", c.all(name, 5, kgo.ReadUncommitted()))
	large := c.client(kgo.ProducerBatchMaxBytes(2<<20), kgo.ProducerBatchCompression(kgo.NoCompression()))
	c.saw("too large", send(large, name, fmt.Sprintf("%01200000d", 0)))
	c.saw("no such topic", send(c.client(kgo.UnknownTopicRetries(0)), c.name("gone"), "x"))
}

// Beginning, end, and from a time on.
func byTime(c *Case) {
	name := c.topic("t", 1)
	client := c.client(kgo.RecordDeliveryTimeout(0)) // Which counts from the record's own time.
	for number := int64(0); number < 3; number++ {
		at := time.UnixMilli(1_700_000_000_000 + 1000*number)
		check(client.ProduceSync(limit(), &kgo.Record{Topic: name, Value: []byte("x"), Timestamp: at}).FirstErr())
	}
	admin := c.admin()
	show := func(what string, offsets kadm.ListedOffsets, err error) {
		check(err)
		found, _ := offsets.Lookup(name, 0)
		c.saw(what, found.Offset, found.Timestamp, named(found.Err))
	}
	start, err := admin.ListStartOffsets(limit(), name)
	show("start", start, err)
	end, err := admin.ListEndOffsets(limit(), name)
	show("end", end, err)
	newest, err := admin.ListMaxTimestampOffsets(limit(), name)
	show("newest", newest, err)
	for _, at := range []int64{1_700_000_000_001, 1_800_000_000_000} {
		from, err := admin.ListOffsetsAfterMilli(limit(), at, name)
		show(fmt.Sprint("after ", at), from, err)
	}
	late := kgo.NewOffset().AfterMilli(1_700_000_001_500)
	c.saw("read", offsetsAndValues(read(c.client(reading(kgo.ConsumeTopics(name), kgo.ConsumeResetOffset(late))...), 1)))
}

// The next consumer of a group goes on behind what the last one committed.
func commitAndGoOn(c *Case) {
	name := c.topic("t", 1)
	send(c.client(), name, "0", "1", "2", "3", "4")
	first := c.client(c.member(name)...)
	records := read(first, 3)
	c.saw("commit", named(first.CommitRecords(limit(), records...)))
	first.Close()
	c.saw("goes on", offsetsAndValues(read(c.client(c.member(name)...), 2)))
	offsets := must(c.admin().FetchOffsets(limit(), c.name("group")))
	place, _ := offsets.Lookup(name, 0)
	c.saw("committed", place.At, place.LeaderEpoch)
}

// Members keep what they do not have to give away.
func cooperativeRebalance(c *Case) {
	name := c.topic("t", 4)
	balancer := kgo.Balancers(kgo.CooperativeStickyBalancer())
	first, second := newOwner(), newOwner()
	c.client(c.member(name, append(first.noting(), balancer)...)...)
	c.saw("alone", first.until(4))
	other := c.client(c.member(name, append(second.noting(), balancer)...)...)
	before := first.until(2)
	c.saw("shared", len(before), len(second.until(2)), first.words)
	other.Close()
	c.saw("one is left", first.until(4), first.words)
}

// The protocol in which the broker assigns.
func nextGenerationGroup(c *Case) {
	name := c.topic("t", 4)
	send(c.client(kgo.RecordPartitioner(kgo.RoundRobinPartitioner())), name, "a", "b", "c", "d")
	first, second := newOwner(), newOwner()
	client := c.client(c.member(name, append(first.noting(), kgo.ServerSideBalancer())...)...)
	c.saw("alone", first.until(4))
	records := read(client, 4)
	c.saw("read", len(records), named(client.CommitRecords(limit(), records...)))
	other := c.client(c.member(name, append(second.noting(), kgo.ServerSideBalancer())...)...)
	c.saw("shared", len(first.until(2)), len(second.until(2)))
	group := must(c.admin().DescribeConsumerGroups(limit(), c.name("group")))[c.name("group")]
	c.saw("described", group.State, group.AssignorName, len(group.Members), named(group.Err))
	other.Close()
	c.saw("one is left", first.until(4))
}

// One that comes back under its name gets what it had, without a rebalance.
func staticMember(c *Case) {
	name := c.topic("t", 2)
	first, second, again := newOwner(), newOwner(), newOwner()
	c.client(c.member(name, append(first.noting(), kgo.InstanceID("one"))...)...)
	c.saw("alone", first.until(2))
	client := c.client(c.member(name, append(second.noting(), kgo.InstanceID("two"))...)...)
	had := second.until(1)
	first.until(1)
	words := len(first.words)
	client.Close() // A static member does not leave.
	c.client(c.member(name, append(again.noting(), kgo.InstanceID("two"))...)...)
	c.saw("came back", fmt.Sprint(again.until(1)) == fmt.Sprint(had), len(first.words)-words)
	left := must(c.admin().LeaveGroup(limit(), kadm.LeaveGroup(c.name("group")).InstanceIDs("two", "three")))
	for _, member := range left.Sorted() {
		c.saw("taken out", member.InstanceID, named(member.Err))
	}
	c.saw("one is left", first.until(2))
}

// Commit and abort; who reads committed records alone does not see what was aborted.
func transactions(c *Case) {
	name := c.topic("t", 1)
	client := c.client(kgo.TransactionalID(c.name("id")))
	for number, commit := range []kgo.TransactionEndTry{kgo.TryCommit, kgo.TryAbort, kgo.TryCommit} {
		check(client.BeginTransaction())
		c.saw("sent", send(client, name, fmt.Sprint(number, "a"), fmt.Sprint(number, "b")))
		check(client.EndTransaction(limit(), commit))
	}
	c.saw("committed", c.all(name, 4, kgo.ReadCommitted()))
	c.saw("all", c.all(name, 6, kgo.ReadUncommitted()))
	found := must(c.admin().DescribeTransactions(limit(), c.name("id")))[c.name("id")]
	c.saw("described", found.State, found.TimeoutMillis, named(found.Err))
}

// A group and a transaction in one session: what was read and what was made of it are committed together.
func consumeProcessCommit(c *Case) {
	source, target := c.topic("source", 1), c.topic("target", 1)
	send(c.client(), source, "1", "2", "3", "4")
	committed := kgo.FetchIsolationLevel(kgo.ReadCommitted())
	options := c.member(source, kgo.TransactionalID(c.name("id")), committed, kgo.RequireStableFetchOffsets())
	session := must(kgo.NewGroupTransactSession(c.with(options)...))
	for _, end := range []kgo.TransactionEndTry{kgo.TryAbort, kgo.TryCommit, kgo.TryCommit} {
		check(session.Begin())
		records := read(session, 2)
		for _, record := range records {
			check(session.ProduceSync(limit(), &kgo.Record{Topic: target, Value: append(record.Value, 'x')}).FirstErr())
		}
		done, err := session.End(limit(), end)
		c.saw("ended", offsetsAndValues(records), done, named(err))
	}
	session.Close()
	c.saw("target", c.all(target, 4, kgo.ReadCommitted()))
	offsets := must(c.admin().FetchOffsets(limit(), c.name("group")))
	place, _ := offsets.Lookup(source, 0)
	c.saw("group", place.At)
}

// The second producer with an id ends the open transaction of the first, which cannot go on.
func fencedByTheNext(c *Case) {
	name := c.topic("t", 1)
	first, second := c.client(kgo.TransactionalID(c.name("id"))), c.client(kgo.TransactionalID(c.name("id")))
	check(first.BeginTransaction())
	c.saw("sent", send(first, name, "first"))
	check(second.BeginTransaction())
	c.saw("sent", send(second, name, "second"))
	c.saw("fenced", send(first, name, "again"))
	check(second.EndTransaction(limit(), kgo.TryCommit))
	c.saw("committed", c.all(name, 1, kgo.ReadCommitted())[0].([]any)[1])
}

// What an administrator does: topics, configs, records, groups and their lag.
func administration(c *Case) {
	name, admin := c.name("t"), c.admin()
	value := "5000"
	made, err := admin.CreateTopic(limit(), 2, 1, map[string]*string{"retention.ms": &value}, name)
	c.saw("made", made.NumPartitions, made.ReplicationFactor, *made.Configs["retention.ms"].Value, named(err))
	_, err = admin.CreateTopic(limit(), 2, 1, nil, name)
	c.saw("again", named(err))
	for _, add := range must(admin.UpdatePartitions(limit(), 3, name)).Sorted() {
		c.saw("grown", named(add.Err))
	}
	detail := must(admin.ListTopics(limit(), name))[name]
	c.saw("listed", len(detail.Partitions), detail.IsInternal, named(detail.Err))
	c.saw("sent", send(c.client(kgo.RecordPartitioner(kgo.ManualPartitioner())), name, "a", "b", "c"))
	configs := func() {
		resource := must(must(admin.DescribeTopicConfigs(limit(), name)).On(name, nil))
		for _, config := range resource.Configs {
			if config.Key == "retention.ms" || config.Key == "cleanup.policy" {
				c.saw("config", config.Key, *config.Value, config.Source.String(), len(config.Synonyms))
			}
		}
	}
	configs()
	compact := "compact"
	alter := []kadm.AlterConfig{{Op: kadm.DeleteConfig, Name: "retention.ms"},
		{Op: kadm.AppendConfig, Name: "cleanup.policy", Value: &compact}}
	for _, each := range must(admin.AlterTopicConfigs(limit(), alter, name)) {
		c.saw("altered", named(each.Err))
	}
	configs()
	c.saw("without a key", send(c.client(), name, "d"))
	before := kadm.Offsets{}
	before.AddOffset(name, 0, 2, -1)
	for _, each := range must(admin.DeleteRecords(limit(), before)).Sorted() {
		c.saw("records deleted", each.Partition, each.LowWatermark, named(each.Err))
	}
	groupAdministration(c, admin, name)
	for _, topic := range []string{name, c.name("gone")} {
		_, err = admin.DeleteTopic(limit(), topic)
		c.saw("deleted", named(err))
	}
}

func groupAdministration(c *Case, admin *kadm.Client, topic string) {
	group := c.name("group")
	offsets := kadm.Offsets{}
	offsets.Add(kadm.Offset{Topic: topic, Partition: 0, At: 2, LeaderEpoch: -1, Metadata: "so far"})
	check(admin.CommitAllOffsets(limit(), group, offsets))
	lag := must(admin.Lag(limit(), group))[group]
	var lags []any
	for _, each := range lag.Lag.Sorted() {
		lags = append(lags, []any{each.Partition, each.Lag, named(each.Err)})
	}
	c.saw("lag", lag.State, lag.ProtocolType, lags)
	listed := must(admin.ListGroups(limit()))[group]
	c.saw("group", listed.State, listed.ProtocolType)
	_, err := admin.DeleteGroup(limit(), group)
	c.saw("group deleted", named(err))
	_, err = admin.DeleteGroup(limit(), group)
	c.saw("group deleted", named(err))
}

// Every mechanism, with the right and a wrong password.
func logins(c *Case) {
	name := c.topic("t", 1)
	mechanisms := map[string]func(password string) sasl.Mechanism{
		"PLAIN": func(password string) sasl.Mechanism {
			return plain.Auth{User: "alice", Pass: password}.AsMechanism()
		},
		"SCRAM-SHA-256": func(password string) sasl.Mechanism {
			return scram.Auth{User: "alice", Pass: password}.AsSha256Mechanism()
		},
		"SCRAM-SHA-512": func(password string) sasl.Mechanism {
			return scram.Auth{User: "alice", Pass: password}.AsSha512Mechanism()
		},
	}
	var names []string
	for mechanism := range mechanisms {
		names = append(names, mechanism)
	}
	sort.Strings(names)
	for _, mechanism := range names {
		for _, password := range []string{"alice-secret", "wrong"} {
			client := c.client(kgo.SeedBrokers(c.SaslBootstrap), kgo.SASL(mechanisms[mechanism](password)))
			err := client.Ping(limit())
			c.saw(mechanism, err == nil)
			if err == nil {
				c.saw("sent", send(client, name, "x"))
			}
		}
	}
}

// Clients connect again by themselves and go on; nothing is lost, nothing doubled.
func restartInTheMiddle(c *Case) {
	name, ledger := c.topic("t", 1), c.topic("ledger", 1)
	sender, worker := c.client(), c.client(kgo.TransactionalID(c.name("id")))
	work := func(value string) {
		check(worker.BeginTransaction())
		c.saw("in a transaction", send(worker, ledger, value))
		check(worker.EndTransaction(limit(), kgo.TryCommit))
	}
	work("t1")
	c.saw("before", send(sender, name, "a", "b"))
	reader := c.client(c.member(name)...)
	records := read(reader, 2)
	c.saw("read", offsetsAndValues(records), named(reader.CommitRecords(limit(), records...)))

	c.restart()

	c.saw("after", send(sender, name, "c"))
	records = read(reader, 1)
	c.saw("read on", offsetsAndValues(records), named(reader.CommitRecords(limit(), records...)))
	work("t2")
	c.saw("all", c.all(name, 3, kgo.ReadCommitted()))
	c.saw("ledger", c.all(ledger, 2, kgo.ReadCommitted()))
	offsets := must(c.admin().FetchOffsets(limit(), c.name("group")))
	place, _ := offsets.Lookup(name, 0)
	c.saw("committed", place.At)
}
