package org.apache.zookeeper.test;

import java.util.*;
import javax.management.*;

/** No beans: the server is not in this process. */
public class JMXEnv {
    public static void setUp() { }
    public static void tearDown() { }
    public static MBeanServerConnection conn() { return null; }
    public static Set<ObjectName> ensureAll(String... names) { return new HashSet<>(); }
    public static Set<ObjectName> ensureOnly(String... names) { return new HashSet<>(); }
    public static void ensureNone(String... names) { }
    public static void dump() { }
    public static Set<ObjectName> ensureParent(String... names) { return new HashSet<>(); }
    public static Object ensureBeanAttribute(String name, String attribute) throws Exception { throw new Exception("no beans"); }
    public static List<ObjectName> getServerBeans() { return new ArrayList<>(); }
    public static ObjectName getServerBean() throws Exception { throw new Exception("no beans"); }
}
