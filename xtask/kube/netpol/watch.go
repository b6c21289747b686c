package netpol

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	corelisters "k8s.io/client-go/listers/core/v1"
	networkinglisters "k8s.io/client-go/listers/networking/v1"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/tools/clientcmd"
)

const (
	// settle lets the events of one change arrive together.
	settle = 20 * time.Millisecond
	// retry is how soon a transaction that the kernel refused is tried again.
	retry = time.Second
)

type enforcer struct {
	podNetwork string
	pods       corelisters.PodLister
	namespaces corelisters.NamespaceLister
	policies   networkinglisters.NetworkPolicyLister
	arrivals   *arrivals
	inForce    string
}

// Main enforces until the process is ended. The table stays in the kernel after that: walls do not fall with their guard.
func Main(arguments []string) error {
	flags := flag.NewFlagSet("netpol", flag.ContinueOnError)
	kubeconfig := flags.String("kubeconfig", "", "how to reach the API server")
	podNetwork := flags.String("pod-network", "", "the range of all pod addresses, as a CIDR")
	listen := flags.String("listen", "", "where nodes announce new pods, as ADDRESS:PORT")
	if err := flags.Parse(arguments); err != nil {
		return err
	}
	if *kubeconfig == "" || *podNetwork == "" || *listen == "" {
		return errors.New("--kubeconfig, --pod-network and --listen are needed")
	}
	config, err := clientcmd.BuildConfigFromFlags("", *kubeconfig)
	if err != nil {
		return err
	}
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		return err
	}
	listener, err := net.Listen("tcp", *listen)
	if err != nil {
		return err
	}
	return enforce(context.Background(), client, *podNetwork, listener)
}

func enforce(ctx context.Context, client kubernetes.Interface, podNetwork string, listener net.Listener) error {
	factory := informers.NewSharedInformerFactory(client, 0)
	pods, namespaces, policies := factory.Core().V1().Pods(), factory.Core().V1().Namespaces(), factory.Networking().V1().NetworkPolicies()
	changed := make(chan struct{}, 1)
	note := func() {
		select {
		case changed <- struct{}{}:
		default:
		}
	}
	handler := cache.ResourceEventHandlerFuncs{AddFunc: func(any) { note() }, UpdateFunc: func(_, _ any) { note() }, DeleteFunc: func(any) { note() }}
	for _, informer := range []cache.SharedIndexInformer{pods.Informer(), namespaces.Informer(), policies.Informer()} {
		if _, err := informer.AddEventHandler(handler); err != nil {
			return err
		}
	}
	e := enforcer{podNetwork: podNetwork, pods: pods.Lister(), namespaces: namespaces.Lister(), policies: policies.Lister(), arrivals: newArrivals(note)}
	factory.Start(ctx.Done())
	factory.WaitForCacheSync(ctx.Done())
	mux := http.NewServeMux()
	mux.Handle("POST /pods", e.arrivals)
	go func() {
		fmt.Fprintln(os.Stderr, "no longer listening:", http.Serve(listener, mux))
		os.Exit(1)
	}()
	for {
		if err := e.sync(ctx); err != nil {
			fmt.Fprintln(os.Stderr, time.Now().Format(time.RFC3339Nano), "not in force:", err)
			time.AfterFunc(retry, note)
		}
		<-changed
		time.Sleep(settle)
	}
}

func (e *enforcer) sync(ctx context.Context) error {
	objects, err := e.objects()
	if err != nil {
		return err
	}
	compiled := Compile(objects)
	wanted := Render(compiled, e.podNetwork)
	if wanted == e.inForce {
		return nil
	}
	nft := exec.CommandContext(ctx, "nft", "-f", "-")
	nft.Stdin = strings.NewReader(wanted)
	if output, err := nft.CombinedOutput(); err != nil {
		return fmt.Errorf("nft: %w: %s\n%s", err, output, wanted)
	}
	e.inForce = wanted
	e.arrivals.enforced(compiled)
	fmt.Println(time.Now().Format(time.RFC3339Nano), "in force: pods", len(compiled), "policies", len(objects.Policies))
	return nil
}

func (e *enforcer) objects() (Objects, error) {
	pods, err := e.pods.List(labels.Everything())
	if err != nil {
		return Objects{}, err
	}
	policies, err := e.policies.List(labels.Everything())
	if err != nil {
		return Objects{}, err
	}
	namespaces, err := e.namespaces.List(labels.Everything())
	if err != nil {
		return Objects{}, err
	}
	sets := make(map[string]labels.Set, len(namespaces))
	for _, namespace := range namespaces {
		sets[namespace.Name] = namespace.Labels
	}
	return Objects{Pods: e.arrivals.complete(pods), Namespaces: sets, Policies: policies}, nil
}
