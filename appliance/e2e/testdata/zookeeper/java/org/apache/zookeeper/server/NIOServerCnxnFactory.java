package org.apache.zookeeper.server;

public class NIOServerCnxnFactory extends ExternalServerCnxnFactory {
}
