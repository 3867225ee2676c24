module example.org/ha/appliance/e2e/clients

go 1.26.0

require github.com/go-zookeeper/zk v1.0.4
