package netpol

import (
	"context"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
)

func TestAnArrivingPodWaitsForItsOwnWalls(t *testing.T) {
	objects := world(t, `{podSelector: {}, policyTypes: [Egress]}`)
	arriving := objects.Pods[0].DeepCopy()
	address := arriving.Status.PodIP
	arriving.Status.PodIP = ""
	objects.Pods[0] = arriving

	noted := make(chan struct{}, 1)
	a := newArrivals(func() { noted <- struct{}{} })
	done := make(chan error, 1)
	go func() { done <- a.arrive(context.Background(), arriving.UID, address) }()
	<-noted

	a.enforced(Compile(world(t, `{podSelector: {}, policyTypes: [Egress]}`))[1:1])
	select {
	case <-done:
		t.Fatal("the pod was let in by a table that does not hold it")
	case <-time.After(50 * time.Millisecond):
	}

	objects.Pods = a.complete(objects.Pods)
	a.enforced(Compile(objects))
	if err := <-done; err != nil {
		t.Fatal(err)
	}
}

func TestAPodWhoseWallsNeverComeIsTurnedAway(t *testing.T) {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Millisecond)
	defer cancel()
	if err := newArrivals(func() {}).arrive(ctx, "some-pod", "10.244.0.9"); err == nil {
		t.Error("the pod was let in")
	}
}

func TestArrivalsAreForgottenOnceTheServerKnowsTheAddress(t *testing.T) {
	a := newArrivals(func() {})
	pods := world(t).Pods
	a.addresses[pods[0].UID] = pods[0].Status.PodIP
	a.complete(pods)
	if len(a.addresses) != 0 {
		t.Errorf("still known: %v", a.addresses)
	}
}

// After the end of its sandbox, or of the API server that forgot about it.
func TestAPodWhoseNetworkIsSetUpAnewHasItsNewAddress(t *testing.T) {
	a := newArrivals(func() {})
	pods := world(t).Pods
	a.addresses[pods[0].UID] = "10.244.7.7"
	completed := a.complete(pods)
	if completed[0].Status.PodIP != "10.244.7.7" || pods[0].Status.PodIP == "10.244.7.7" {
		t.Errorf("it has %s, and the informer's own %s", completed[0].Status.PodIP, pods[0].Status.PodIP)
	}
}

func TestAnAddressBelongsToTheNewestPodThatClaimsIt(t *testing.T) {
	objects := world(t)
	old := objects.Pods[0]
	young := old.DeepCopy()
	young.UID, young.Name = "0-young", "young"
	young.CreationTimestamp.Time = old.CreationTimestamp.Add(time.Hour)
	objects.Pods = []*corev1.Pod{young, old}
	if pods := Compile(objects); len(pods) != 1 || pods[0].ID != podID(young.UID) {
		t.Errorf("compiled %v", pods)
	}
}
