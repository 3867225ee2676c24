package org.apache.zookeeper.server;

public class NettyServerCnxnFactory extends ExternalServerCnxnFactory {
}
