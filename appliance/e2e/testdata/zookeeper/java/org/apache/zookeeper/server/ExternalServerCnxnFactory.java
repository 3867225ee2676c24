package org.apache.zookeeper.server;

import java.io.*;
import java.net.*;
import java.nio.channels.ServerSocketChannel;
import java.nio.file.*;
import java.util.*;
import javax.security.auth.login.AppConfigurationEntry;
import javax.security.auth.login.Configuration;

/** Starts a server of another make where a test starts Java's in its own process. */
public class ExternalServerCnxnFactory extends ServerCnxnFactory {
    ServerSocketChannel ss; // what Curator's testing server wants to close
    private InetSocketAddress addr;
    private int perHost, backlog;
    private volatile Process process;
    private static final Set<Process> all = Collections.synchronizedSet(new HashSet<>());

    static {
        Runtime.getRuntime().addShutdownHook(new Thread(() -> all.forEach(Process::destroyForcibly)));
    }

    @Override public void configure(InetSocketAddress a, int maxcc, int backlog, boolean secure) throws IOException {
        this.secure = secure;
        this.perHost = maxcc;
        this.backlog = backlog;
        configureSaslLogin();
        initMaxCnxns();
        if (a.getPort() == 0) {
            try (ServerSocket s = new ServerSocket(0)) {
                a = new InetSocketAddress(a.getAddress(), s.getLocalPort());
            }
        }
        // A port that is taken is refused here, as Java's server does.
        try (ServerSocket s = new ServerSocket()) {
            s.setReuseAddress(true);
            s.bind(a);
        }
        addr = a;
        ss = ServerSocketChannel.open();
    }

    @Override public void reconfigure(InetSocketAddress a) { throw new UnsupportedOperationException("external"); }

    @Override public void startup(ZooKeeperServer zks, boolean startServer) throws IOException, InterruptedException {
        setZooKeeperServer(zks);
        if (startServer) {
            launch(zks);
            zks.setState(ZooKeeperServer.State.RUNNING);
            try {
                zks.getClass().getMethod("noteStartup").invoke(zks);
            } catch (ReflectiveOperationException e) {
                // not Curator's
            }
            synchronized (zks) {
                zks.notifyAll();
            }
        }
    }

    private void launch(ZooKeeperServer zks) throws IOException, InterruptedException {
        Path cfg = Files.createTempFile("external", ".cfg");
        List<String> lines = new ArrayList<>();
        lines.add("dataDir=" + zks.getTxnLogFactory().getSnapDir().getParentFile().getAbsolutePath());
        lines.add("dataLogDir=" + zks.getTxnLogFactory().getDataDir().getParentFile().getAbsolutePath());
        lines.add("tickTime=" + zks.getTickTime());
        lines.add("minSessionTimeout=" + zks.getMinSessionTimeout());
        lines.add("maxSessionTimeout=" + zks.getMaxSessionTimeout());
        lines.add((secure ? "secureClientPort=" : "clientPort=") + addr.getPort());
        lines.add((secure ? "secureClientPortAddress=" : "clientPortAddress=") + addr.getAddress().getHostAddress());
        lines.add("maxClientCnxns=" + perHost);
        if (SyncRequestProcessor.getSnapCount() != 100000) {
            lines.add("snapCount=" + SyncRequestProcessor.getSnapCount());
        }
        if (org.apache.zookeeper.server.quorum.QuorumPeerConfig.isReconfigEnabled()) {
            lines.add("reconfigEnabled=true");
        }
        lines.add("admin.enableServer=false");
        lines.add("autopurge.purgeInterval=0");
        if (System.getProperty("zookeeper.4lw.commands.whitelist") == null) {
            lines.add("4lw.commands.whitelist=*");
        }
        Files.write(cfg, lines);
        List<String> cmd = new ArrayList<>(List.of(System.getProperty("external.server"), "zab", "--zoo-cfg", cfg.toString()));
        for (String name : new TreeSet<>(System.getProperties().stringPropertyNames())) {
            if (name.equals("zookeeper.admin.enableServer")) {
                continue;
            }
            if (name.startsWith("zookeeper.") || name.startsWith("znode.") || name.startsWith("jute.") || name.startsWith("readonlymode")
                || name.equals("java.security.auth.login.config")) {
                cmd.add("-D");
                cmd.add(name + "=" + System.getProperty(name));
            }
        }
        String jaas = jaas();
        if (jaas != null) {
            cmd.add("-D");
            cmd.add("java.security.auth.login.config=" + jaas);
        }
        File log = new File(System.getProperty("external.log", "/tmp/external.log"));
        try (PrintWriter w = new PrintWriter(new FileWriter(log, true))) {
            w.println("+ " + String.join(" ", cmd.subList(4, cmd.size())) + " " + lines);
        }
        process = new ProcessBuilder(cmd).redirectErrorStream(true).redirectOutput(ProcessBuilder.Redirect.appendTo(log)).start();
        all.add(process);
        InetAddress to = addr.getAddress().isAnyLocalAddress() ? InetAddress.getLoopbackAddress() : addr.getAddress();
        for (long end = System.nanoTime() + 20_000_000_000L;; Thread.sleep(5)) {
            if (!process.isAlive()) {
                throw new IOException("the external server ended: " + process.exitValue());
            }
            try (Socket s = new Socket(to, addr.getPort())) {
                return;
            } catch (IOException e) {
                if (System.nanoTime() > end) {
                    throw e;
                }
            }
        }
    }

    /** A login configuration that a test set in this process only, as a file; null if there is none. */
    private static String jaas() throws IOException {
        if (System.getProperty("java.security.auth.login.config") != null) {
            return null;
        }
        String section = System.getProperty(ZooKeeperSaslServer.LOGIN_CONTEXT_NAME_KEY, ZooKeeperSaslServer.DEFAULT_LOGIN_CONTEXT_NAME);
        AppConfigurationEntry[] entries;
        try {
            entries = Configuration.getConfiguration().getAppConfigurationEntry(section);
        } catch (SecurityException e) {
            return null;
        }
        if (entries == null) {
            return null;
        }
        StringBuilder text = new StringBuilder(section + " {\n");
        for (AppConfigurationEntry entry : entries) {
            text.append(entry.getLoginModuleName()).append(" required");
            entry.getOptions().forEach((k, v) -> text.append("\n\t").append(k).append("=\"").append(v).append('"'));
            text.append(";\n");
        }
        Path file = Files.createTempFile("external", ".jaas");
        Files.writeString(file, text.append("};\n"));
        return file.toString();
    }

    @Override public int getLocalPort() { return addr.getPort(); }
    @Override public InetSocketAddress getLocalAddress() { return addr; }
    @Override public Iterable<ServerCnxn> getConnections() { return cnxns; }
    @Override public int getMaxClientCnxnsPerHost() { return perHost; }
    @Override public void setMaxClientCnxnsPerHost(int max) { perHost = max; }
    @Override public int getSocketListenBacklog() { return backlog; }
    @Override public void start() { throw new UnsupportedOperationException("a member of an ensemble"); }
    @Override public void resetAllConnectionStats() { }
    @Override public Iterable<Map<String, Object>> getAllConnectionInfo(boolean brief) { return List.of(); }
    @Override public void closeAll(ServerCnxn.DisconnectReason reason) { kill(); }
    public void closeAll() { kill(); }

    @Override public void join() throws InterruptedException {
        Process p = process;
        if (p != null) {
            p.waitFor();
        }
    }

    private void kill() {
        Process p = process;
        if (p == null) {
            return;
        }
        p.destroy();
        try {
            if (!p.waitFor(10, java.util.concurrent.TimeUnit.SECONDS)) {
                p.destroyForcibly();
            }
        } catch (InterruptedException e) {
            p.destroyForcibly();
        }
        all.remove(p);
        process = null;
    }

    @Override public void shutdown() {
        kill();
        if (login != null) {
            login.shutdown();
        }
    }
}
