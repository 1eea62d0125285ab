package wire

// Names of the peers of this package.
const (
	NameProglog       = "proglog"
	NameBatches       = "proglog batches"
	NameSDK           = "proglog, sdk/go"
	NameGRPC          = "grpc-go"
	NameGRPCMemory    = "grpc-go memory"
	NameConnect       = "connect"
	NameConnectMemory = "connect memory"
	NameLayerHTTP     = "net/http memory"
	NameTCP           = "raw TCP"
	NameJetAlways     = "JetStream always"
	NameJetDefault    = "JetStream default"
	NameRedisAlways   = "Redis always"
	NameRedisAuto     = "Redis always, autopipelined"
	NameRedisEverysec = "Redis everysec"
	NameKafkaAlways   = "Kafka always"
	NameKafkaDefault  = "Kafka default"

	NameLayerConnect       = "connect handlers"
	NameLayerConnectMemory = "connect handlers memory"
)
