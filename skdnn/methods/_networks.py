"""BibTeX of network architectures. Each entry is one paragraph, each field one line."""

NETWORKS = r"""
@inproceedings{krizhevsky2012alexnet,
  author = {Krizhevsky, Alex and Sutskever, Ilya and Hinton, Geoffrey E.},
  title = {{ImageNet} Classification with Deep Convolutional Neural Networks},
  booktitle = {Advances in Neural Information Processing Systems},
  volume = {25},
  year = {2012}
}

@article{krizhevsky2014weird,
  author = {Krizhevsky, Alex},
  title = {One Weird Trick for Parallelizing Convolutional Neural Networks},
  journal = {arXiv:1404.5997},
  year = {2014}
}

@inproceedings{simonyan2015vgg,
  author = {Simonyan, Karen and Zisserman, Andrew},
  title = {Very Deep Convolutional Networks for Large-Scale Image Recognition},
  booktitle = {International Conference on Learning Representations},
  year = {2015}
}

@inproceedings{ioffe2015batchnorm,
  author = {Ioffe, Sergey and Szegedy, Christian},
  title = {Batch Normalization: Accelerating Deep Network Training by Reducing Internal
    Covariate Shift},
  booktitle = {International Conference on Machine Learning},
  year = {2015}
}

@inproceedings{szegedy2015googlenet,
  author = {Szegedy, Christian and Liu, Wei and Jia, Yangqing and Sermanet, Pierre and Reed,
    Scott and Anguelov, Dragomir and Erhan, Dumitru and Vanhoucke, Vincent and Rabinovich,
    Andrew},
  title = {Going Deeper with Convolutions},
  booktitle = {IEEE Conference on Computer Vision and Pattern Recognition},
  year = {2015}
}

@inproceedings{szegedy2016inception,
  author = {Szegedy, Christian and Vanhoucke, Vincent and Ioffe, Sergey and Shlens, Jonathon
    and Wojna, Zbigniew},
  title = {Rethinking the Inception Architecture for Computer Vision},
  booktitle = {IEEE Conference on Computer Vision and Pattern Recognition},
  year = {2016}
}

@inproceedings{szegedy2017inceptionresnet,
  author = {Szegedy, Christian and Ioffe, Sergey and Vanhoucke, Vincent and Alemi, Alexander
    A.},
  title = {Inception-v4, {Inception-ResNet} and the Impact of Residual Connections on
    Learning},
  booktitle = {AAAI Conference on Artificial Intelligence},
  year = {2017}
}

@inproceedings{he2016resnet,
  author = {He, Kaiming and Zhang, Xiangyu and Ren, Shaoqing and Sun, Jian},
  title = {Deep Residual Learning for Image Recognition},
  booktitle = {IEEE Conference on Computer Vision and Pattern Recognition},
  year = {2016}
}

@inproceedings{he2016identity,
  author = {He, Kaiming and Zhang, Xiangyu and Ren, Shaoqing and Sun, Jian},
  title = {Identity Mappings in Deep Residual Networks},
  booktitle = {European Conference on Computer Vision},
  year = {2016}
}

@inproceedings{zagoruyko2016wide,
  author = {Zagoruyko, Sergey and Komodakis, Nikos},
  title = {Wide Residual Networks},
  booktitle = {British Machine Vision Conference},
  year = {2016}
}

@article{iandola2016squeezenet,
  author = {Iandola, Forrest N. and Han, Song and Moskewicz, Matthew W. and Ashraf, Khalid and
    Dally, William J. and Keutzer, Kurt},
  title = {{SqueezeNet}: {AlexNet}-Level Accuracy with 50x Fewer Parameters and $<$0.5MB Model
    Size},
  journal = {arXiv:1602.07360},
  year = {2016}
}

@inproceedings{xie2017resnext,
  author = {Xie, Saining and Girshick, Ross and Doll{\'a}r, Piotr and Tu, Zhuowen and He,
    Kaiming},
  title = {Aggregated Residual Transformations for Deep Neural Networks},
  booktitle = {IEEE Conference on Computer Vision and Pattern Recognition},
  year = {2017}
}

@inproceedings{huang2017densenet,
  author = {Huang, Gao and Liu, Zhuang and van der Maaten, Laurens and Weinberger, Kilian Q.},
  title = {Densely Connected Convolutional Networks},
  booktitle = {IEEE Conference on Computer Vision and Pattern Recognition},
  year = {2017}
}

@inproceedings{chollet2017xception,
  author = {Chollet, Fran{\c{c}}ois},
  title = {Xception: Deep Learning with Depthwise Separable Convolutions},
  booktitle = {IEEE Conference on Computer Vision and Pattern Recognition},
  year = {2017}
}

@article{howard2017mobilenets,
  author = {Howard, Andrew G. and Zhu, Menglong and Chen, Bo and Kalenichenko, Dmitry and Wang,
    Weijun and Weyand, Tobias and Andreetto, Marco and Adam, Hartwig},
  title = {{MobileNets}: Efficient Convolutional Neural Networks for Mobile Vision
    Applications},
  journal = {arXiv:1704.04861},
  year = {2017}
}

@inproceedings{sandler2018mobilenetv2,
  author = {Sandler, Mark and Howard, Andrew and Zhu, Menglong and Zhmoginov, Andrey and Chen,
    Liang-Chieh},
  title = {{MobileNetV2}: Inverted Residuals and Linear Bottlenecks},
  booktitle = {IEEE Conference on Computer Vision and Pattern Recognition},
  year = {2018}
}

@inproceedings{howard2019mobilenetv3,
  author = {Howard, Andrew and Sandler, Mark and Chu, Grace and Chen, Liang-Chieh and Chen, Bo
    and Tan, Mingxing and Wang, Weijun and Zhu, Yukun and Pang, Ruoming and Vasudevan, Vijay
    and Le, Quoc V. and Adam, Hartwig},
  title = {Searching for {MobileNetV3}},
  booktitle = {IEEE/CVF International Conference on Computer Vision},
  year = {2019}
}

@inproceedings{zoph2018nasnet,
  author = {Zoph, Barret and Vasudevan, Vijay and Shlens, Jonathon and Le, Quoc V.},
  title = {Learning Transferable Architectures for Scalable Image Recognition},
  booktitle = {IEEE Conference on Computer Vision and Pattern Recognition},
  year = {2018}
}

@inproceedings{ma2018shufflenetv2,
  author = {Ma, Ningning and Zhang, Xiangyu and Zheng, Hai-Tao and Sun, Jian},
  title = {{ShuffleNet V2}: Practical Guidelines for Efficient {CNN} Architecture Design},
  booktitle = {European Conference on Computer Vision},
  year = {2018}
}

@inproceedings{tan2019mnasnet,
  author = {Tan, Mingxing and Chen, Bo and Pang, Ruoming and Vasudevan, Vijay and Sandler, Mark
    and Howard, Andrew and Le, Quoc V.},
  title = {{MnasNet}: Platform-Aware Neural Architecture Search for Mobile},
  booktitle = {IEEE/CVF Conference on Computer Vision and Pattern Recognition},
  year = {2019}
}

@inproceedings{tan2019efficientnet,
  author = {Tan, Mingxing and Le, Quoc V.},
  title = {{EfficientNet}: Rethinking Model Scaling for Convolutional Neural Networks},
  booktitle = {International Conference on Machine Learning},
  year = {2019}
}

@inproceedings{tan2021efficientnetv2,
  author = {Tan, Mingxing and Le, Quoc V.},
  title = {{EfficientNetV2}: Smaller Models and Faster Training},
  booktitle = {International Conference on Machine Learning},
  year = {2021}
}

@inproceedings{radosavovic2020regnet,
  author = {Radosavovic, Ilija and Kosaraju, Raj Prateek and Girshick, Ross and He, Kaiming and
    Doll{\'a}r, Piotr},
  title = {Designing Network Design Spaces},
  booktitle = {IEEE/CVF Conference on Computer Vision and Pattern Recognition},
  year = {2020}
}

@inproceedings{dosovitskiy2021vit,
  author = {Dosovitskiy, Alexey and Beyer, Lucas and Kolesnikov, Alexander and Weissenborn,
    Dirk and Zhai, Xiaohua and Unterthiner, Thomas and Dehghani, Mostafa and Minderer, Matthias
    and Heigold, Georg and Gelly, Sylvain and Uszkoreit, Jakob and Houlsby, Neil},
  title = {An Image Is Worth 16x16 Words: Transformers for Image Recognition at Scale},
  booktitle = {International Conference on Learning Representations},
  year = {2021}
}

@inproceedings{touvron2021deit,
  author = {Touvron, Hugo and Cord, Matthieu and Douze, Matthijs and Massa, Francisco and
    Sablayrolles, Alexandre and J{\'e}gou, Herv{\'e}},
  title = {Training Data-Efficient Image Transformers {\&} Distillation through Attention},
  booktitle = {International Conference on Machine Learning},
  year = {2021}
}

@inproceedings{liu2021swin,
  author = {Liu, Ze and Lin, Yutong and Cao, Yue and Hu, Han and Wei, Yixuan and Zhang, Zheng
    and Lin, Stephen and Guo, Baining},
  title = {Swin Transformer: Hierarchical Vision Transformer Using Shifted Windows},
  booktitle = {IEEE/CVF International Conference on Computer Vision},
  year = {2021}
}

@inproceedings{liu2022swinv2,
  author = {Liu, Ze and Hu, Han and Lin, Yutong and Yao, Zhuliang and Xie, Zhenda and Wei,
    Yixuan and Ning, Jia and Cao, Yue and Zhang, Zheng and Dong, Li and Wei, Furu and Guo,
    Baining},
  title = {Swin Transformer {V2}: Scaling Up Capacity and Resolution},
  booktitle = {IEEE/CVF Conference on Computer Vision and Pattern Recognition},
  year = {2022}
}

@inproceedings{liu2022convnext,
  author = {Liu, Zhuang and Mao, Hanzi and Wu, Chao-Yuan and Feichtenhofer, Christoph and
    Darrell, Trevor and Xie, Saining},
  title = {A {ConvNet} for the 2020s},
  booktitle = {IEEE/CVF Conference on Computer Vision and Pattern Recognition},
  year = {2022}
}

@inproceedings{tu2022maxvit,
  author = {Tu, Zhengzhong and Talebi, Hossein and Zhang, Han and Yang, Feng and Milanfar,
    Peyman and Bovik, Alan and Li, Yinxiao},
  title = {{MaxViT}: Multi-Axis Vision Transformer},
  booktitle = {European Conference on Computer Vision},
  year = {2022}
}

@inproceedings{long2015fcn,
  author = {Long, Jonathan and Shelhamer, Evan and Darrell, Trevor},
  title = {Fully Convolutional Networks for Semantic Segmentation},
  booktitle = {IEEE Conference on Computer Vision and Pattern Recognition},
  year = {2015}
}

@article{chen2017deeplabv3,
  author = {Chen, Liang-Chieh and Papandreou, George and Schroff, Florian and Adam, Hartwig},
  title = {Rethinking Atrous Convolution for Semantic Image Segmentation},
  journal = {arXiv:1706.05587},
  year = {2017}
}

@article{kubilius2018cornet,
  author = {Kubilius, Jonas and Schrimpf, Martin and Nayebi, Aran and Bear, Daniel and Yamins,
    Daniel L. K. and DiCarlo, James J.},
  title = {{CORnet}: Modeling the Neural Mechanisms of Core Object Recognition},
  journal = {bioRxiv},
  doi = {10.1101/408385},
  year = {2018}
}

@inproceedings{kubilius2019brainlike,
  author = {Kubilius, Jonas and Schrimpf, Martin and Kar, Kohitij and Rajalingham, Rishi and
    Hong, Ha and Majaj, Najib and Issa, Elias and Bashivan, Pouya and Prescott-Roy, Jonathan
    and Schmidt, Kailyn and Nayebi, Aran and Bear, Daniel and Yamins, Daniel L. and DiCarlo,
    James J.},
  title = {Brain-Like Object Recognition with High-Performing Shallow Recurrent {ANNs}},
  booktitle = {Advances in Neural Information Processing Systems},
  volume = {32},
  year = {2019}
}

@inproceedings{radford2021clip,
  author = {Radford, Alec and Kim, Jong Wook and Hallacy, Chris and Ramesh, Aditya and Goh,
    Gabriel and Agarwal, Sandhini and Sastry, Girish and Askell, Amanda and Mishkin, Pamela and
    Clark, Jack and Krueger, Gretchen and Sutskever, Ilya},
  title = {Learning Transferable Visual Models from Natural Language Supervision},
  booktitle = {International Conference on Machine Learning},
  year = {2021}
}

@inproceedings{zhai2023siglip,
  author = {Zhai, Xiaohua and Mustafa, Basil and Kolesnikov, Alexander and Beyer, Lucas},
  title = {Sigmoid Loss for Language Image Pre-Training},
  booktitle = {IEEE/CVF International Conference on Computer Vision},
  year = {2023}
}
"""
